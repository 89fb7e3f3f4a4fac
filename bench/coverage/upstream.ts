import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { foreign } from '../foreign.js'

/** A checkpoint for llama.cpp's converter. */
export interface UpstreamCase {
  readonly folder: string
  /** What its pre-tokenizer is called: the converter knows it by a hash of the published vocabulary. */
  readonly pre: string
  /** Types to convert to; the file is FOLDER.TYPE.gguf. */
  readonly types: readonly string[]
  readonly options: readonly string[]
  /** Keeps transformers from reading config.json, so that the converter reads it itself. */
  readonly plainConfig: boolean
}

/**
 * Converts every checkpoint in a process of its own, forked when all is imported: some classes of the converter keep state. What goes
 * wrong is written beside the outcome, with the end of the converter's own messages.
 */
const script = `
import base64, json, os, runpy, sys, traceback
sys.path.insert(1, '/usr/share/llama.cpp/llama.cpp-tools')
# Mistral's own library, which Debian has not.
sys.path.append('/opt/mistral-common')
import transformers, torch, sentencepiece, gguf
import conversion, conversion.base, conversion.baichuan
torch.set_num_threads(1)
conversion.load_all_models()
from transformers import AutoTokenizer
import transformers.models.auto.modeling_auto
cases = json.load(open('cases.json'))
for case in cases:
    # Imports what a configuration needs, which takes seconds, once for all.
    try:
        conversion.base.ModelBase.load_hparams(conversion.base.Path(case['folder']), False)
    except Exception:
        pass
def refuse(*args, **kwargs): raise ValueError('config.json as it is')
of_transformers = AutoTokenizer.from_pretrained
class Ranks:
    # What the remote code of such repositories makes of their file of ranks.
    def __init__(self, folder, file):
        lines = open(os.path.join(folder, file), 'rb').read().splitlines()
        self.mergeable_ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}
        config = json.load(open(os.path.join(folder, 'tokenizer_config.json')))
        named = config.get('added_tokens_decoder')
        # What stands in the code of Qwen's first tokenizer, and of Hunyuan's.
        first = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'] if file.startswith('qwen') else ['<|endoftext|>', '<|startoftext|>', '<|bos|>', '<|eos|>', '<|pad|>']
        extras = [f'<|extra_{index}|>' for index in range(205)]
        self.special_tokens = {entry['content']: int(id) for id, entry in named.items()} if named else {
            token: len(self.mergeable_ranks) + index for index, token in enumerate(first + extras)}
        self.vocab_size = json.load(open(os.path.join(folder, 'config.json')))['vocab_size']
        self._mergeable_ranks = self.mergeable_ranks
        self.model = self
    def get_vocab(self): return self.special_tokens
def tokenizer(folder, *args, **kwargs):
    ranks = [name for name in os.listdir(folder) if name.endswith('.tiktoken') or name == 'tiktoken.model']
    if ranks and not os.path.exists(os.path.join(folder, 'tokenizer.json')): return Ranks(folder, ranks[0])
    try:
        found = of_transformers(folder, *args, **kwargs)
        # Version 5 forgets this field of tokenizer_config.json, which one class insists on.
        found._add_bos_token = json.load(open(os.path.join(folder, 'tokenizer_config.json'))).get('add_bos_token', False)
        return found
    except Exception:
        # It does not get past a config.json that it does not know.
        return transformers.PreTrainedTokenizerFast.from_pretrained(folder)
AutoTokenizer.from_pretrained = tokenizer
# It calls itself without end at every tensor that is not W_pack, where it means its parent.
baichuan = conversion.baichuan.BaichuanModel
unpack = baichuan.modify_tensors
def modify_baichuan(self, data, name, bid):
    packed = name.endswith('.self_attn.W_pack.weight')
    yield from unpack(self, data, name, bid) if packed else conversion.base.TextModel.modify_tensors(self, data, name, bid)
baichuan.modify_tensors = modify_baichuan
converter = '/usr/share/doc/llama.cpp-tools/scripts/convert_hf_to_gguf.py'
for case in cases:
    for kind in case['types']:
        out = f"{case['folder']}.{kind}"
        child = os.fork()
        if child == 0:
            log = os.open(out + '.log', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1); os.dup2(log, 2)
            conversion.base.TextModel.get_vocab_base_pre = lambda self, tokenizer: case['pre']
            if case['plainConfig']: conversion.base.AutoConfig.from_pretrained = refuse
            sys.argv = ['convert', case['folder'], '--outtype', kind, '--outfile', out + '.gguf', *case['options']]
            status = 0
            try:
                runpy.run_path(converter, run_name='__main__')
            except BaseException as error:
                if not (isinstance(error, SystemExit) and error.code in (0, None)):
                    traceback.print_exc()
                    line = traceback.extract_tb(error.__traceback__)[-1]
                    open(out + '.failed', 'w').write(f"{type(error).__name__}: {error} ({os.path.basename(line.filename)}:{line.lineno})")
            sys.stdout.flush(); sys.stderr.flush()
            os._exit(status)
        os.waitpid(child, 0)
`

/**
 * Runs llama.cpp's converter on folders below `folder`.
 * @returns for each case and type what went wrong, if anything did: key FOLDER.TYPE.
 */
export async function convertUpstream(folder: string, cases: readonly UpstreamCase[]): Promise<ReadonlyMap<string, string>> {
  for (const { folder: name, types } of cases) for (const type of types) await rm(`${name}.${type}.failed`, { force: true })
  await writeFile(join(folder, 'cases.json'), JSON.stringify(cases))
  await writeFile(join(folder, 'convert.py'), script)
  const minutes = 2 + cases.length
  await foreign.run('python3', ['convert.py'], { cwd: folder, timeout: minutes * 60_000, env: { OMP_NUM_THREADS: '1' } })
  const failures = new Map<string, string>()
  for (const { folder: name, types } of cases) {
    for (const type of types) {
      const failure = await readFile(`${name}.${type}.failed`, 'utf8').catch(() => undefined)
      if (failure !== undefined) failures.set(`${name}.${type}`, failure)
    }
  }
  return failures
}
