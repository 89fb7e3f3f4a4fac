#!/usr/bin/env python3
"""Makes the tokenizers of this folder and the ids that the reference libraries give for hard strings.
Usage: python3 make.py TEXT...   (PyPI tokenizers 0.23, sentencepiece 0.2; any English text of some 300 kB)"""
import base64, json, os, sys
import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

STRINGS = ['Hello world', '  two  spaces   three', ' leading', 'trailing  x', 'def f(x):\n    return x**2  # comment', '12345 67.89 3,000',
           '日本語テスト 한국어 中文', 'emoji 👩\u200d👩\u200d👧 🎉', 'e\u0301 cafe\u0301 naïve Ångström ½ ﬁn', '\t\ttabs\n\n\nnewlines\r\nx',
           '<ud>foo bar   x foo barfoo', 'In the beginning God created the heaven and the earth.', "don't I'll we've THEY'RE", 'x' * 50,
           'ÀÉÎõü ß ẞ', 'مرحبا بالعالم', '"quoted" (parens) [brackets] {braces} <tags/>', 'mixed日本語English123']
SIZE = 600
HERE = os.path.dirname(os.path.abspath(__file__))
FILE = '/tmp/tokenizer-text.txt'
with open(FILE, 'w', encoding='utf-8') as out:
    for path in sys.argv[1:]:
        out.write(open(path, encoding='utf-8').read()[:300_000])
    out.write('\nnaïve café Ångström ½ ﬁn 日本語 テスト\n' * 30)

def train(name, **options):
    sentencepiece.SentencePieceTrainer.train(input=FILE, model_prefix='/tmp/' + name, vocab_size=SIZE, minloglevel=2, num_threads=1,
                                             input_sentence_size=3000, **options)
    return '/tmp/' + name + '.model'

def save(name, files, ids):
    with open(f'{HERE}/{name}.json', 'w', encoding='utf-8') as out:
        json.dump({'files': files, 'strings': STRINGS, 'ids': ids}, out, ensure_ascii=False, indent=None, separators=(',', ':'))
        out.write('\n')

def special(*names):
    return [AddedToken(name, special=True, normalized=False) for name in names]

def pieces(path):
    model = sentencepiece.SentencePieceProcessor(path)
    return model, [(model.id_to_piece(i), model.get_score(i)) for i in range(model.get_piece_size())]

CONFIG = {'bos_token': '<s>', 'eos_token': '</s>', 'unk_token': '<unk>'}
binary = lambda path: {'base64': base64.b64encode(open(path, 'rb').read()).decode()}
json_of = lambda tokenizer: json.loads(tokenizer.to_str())

identity = dict(model_type='bpe', byte_fallback=True, normalization_rule_name='identity', remove_extra_whitespaces=False,
                allow_whitespace_only_pieces=True)
bpe = train('bpe', split_digits=True, **identity)
save('sentencepiece-bpe', {'tokenizer.model': binary(bpe), 'tokenizer_config.json': CONFIG}, pieces(bpe)[0].encode(STRINGS))
user = train('user', add_dummy_prefix=False, user_defined_symbols=['<ud>', '▁▁▁', 'foo bar'], **identity)
save('sentencepiece-user-defined', {'tokenizer.model': binary(user), 'tokenizer_config.json': CONFIG}, pieces(user)[0].encode(STRINGS))
# A table of a few rules: that of NFKC takes 240 kB.
with open('/tmp/rules.tsv', 'w', encoding='utf-8') as out:
    out.write('FB01\t66 69\nBD\t31 2044 32\n65 301\tE9\n9\t20\nA\t20\nD\t20\nFF21\t41\n')
uni = train('uni', model_type='unigram', normalization_rule_tsv='/tmp/rules.tsv')
save('sentencepiece-unigram', {'spiece.model': binary(uni), 'tokenizer_config.json': CONFIG}, pieces(uni)[0].encode(STRINGS))

def merges(vocabulary):
    """As SentencePieceExtractor of transformers: by score, and for one result by the ids of its halves."""
    ids = {text: i for i, (text, _) in enumerate(vocabulary)}
    found = []
    for text, score in vocabulary:
        pairs = [(text[:i], text[i:], score) for i in range(1, len(text)) if text[:i] in ids and text[i:] in ids]
        found += sorted(pairs, key=lambda pair: (ids[pair[0]], ids[pair[1]]))
    return ids, [(a, b) for a, b, _ in sorted(found, key=lambda pair: pair[2], reverse=True)]

ids, pairs = merges(pieces(bpe)[1])
fast = Tokenizer(models.BPE(ids, pairs, unk_token='<unk>', fuse_unk=True, byte_fallback=True))
fast.normalizer = normalizers.Sequence([normalizers.Prepend('▁'), normalizers.Replace(' ', '▁')])
fast.add_special_tokens(special('<unk>', '<s>', '</s>'))
save('byte-fallback-bpe', {'tokenizer.json': json_of(fast), 'tokenizer_config.json': CONFIG},
     [e.ids for e in fast.encode_batch(STRINGS, add_special_tokens=False)])

def charsmap(path):
    def fields(data):
        at = 0
        def number():
            nonlocal at
            value = shift = 0
            while True:
                byte = data[at]; at += 1; value |= (byte & 127) << shift; shift += 7
                if byte < 128: return value
        while at < len(data):
            tag = number()
            if tag & 7 == 0: yield tag >> 3, number()
            elif tag & 7 == 2: size = number(); yield tag >> 3, data[at:at + size]; at += size
            else: size = 4 if tag & 7 == 5 else 8; yield tag >> 3, data[at:at + size]; at += size
    return dict(fields(dict(fields(open(path, 'rb').read()))[3]))[2]

model, vocabulary = pieces(uni)
fast = Tokenizer(models.Unigram(vocabulary, unk_id=model.unk_id(), byte_fallback=False))
fast.normalizer = normalizers.Sequence([normalizers.Precompiled(charsmap(uni)), normalizers.Strip(left=False), normalizers.Replace(Regex(' {2,}'), ' ')])
fast.pre_tokenizer = pre_tokenizers.Metaspace('▁', prepend_scheme='always')
fast.add_special_tokens(special('<unk>', '<s>', '</s>'))
save('unigram', {'tokenizer.json': json_of(fast), 'tokenizer_config.json': CONFIG},
     [e.ids for e in fast.encode_batch(STRINGS, add_special_tokens=False)])

word = Tokenizer(models.WordPiece(unk_token='[UNK]'))
word.normalizer, word.pre_tokenizer = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
word.train([FILE], trainers.WordPieceTrainer(vocab_size=SIZE, special_tokens=['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']))
save('word-piece', {'tokenizer.json': json_of(word), 'tokenizer_config.json': {f'{k}_token': f'[{k.upper()}]' for k in ('pad', 'unk', 'cls', 'sep', 'mask')}},
     [e.ids for e in word.encode_batch(STRINGS, add_special_tokens=False)])
