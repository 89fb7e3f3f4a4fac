const words = [
  'the',
  ' the',
  ' and',
  ' of',
  ' to',
  'in',
  'er',
  'on',
  ' that',
  ' shall',
  ' unto',
  '\\n\\n',
  '\\t\\t',
  "it's",
  '"a"',
  '世',
  '界',
  'é',
  '中文',
  '\\u3000',
]

/** RWKV's World vocabulary: a number from 1, a literal of Python, the length in bytes. */
export function rwkvWorldFiles(): Readonly<Record<string, unknown>> {
  const bytes = Array.from({ length: 256 }, (_, byte) => {
    const hex = `\\x${byte.toString(16).padStart(2, '0')}`
    if (byte >= 0x80) return [`b'${hex}'`, 1] as const
    if (byte === 0x27) return [`"'"`, 1] as const
    if (byte === 0x5c) return [`'\\\\'`, 1] as const
    const short = { 9: '\\t', 10: '\\n', 13: '\\r' }[byte]
    return [`'${short ?? (byte < 0x20 || byte === 0x7f ? hex : String.fromCharCode(byte))}'`, 1] as const
  })
  const more = words.map((word) => {
    const quoted = word.includes("'") ? `"${word}"` : `'${word}'`
    const text = word.replaceAll('\\n', '\n').replaceAll('\\t', '\t').replaceAll('\\u3000', '\u3000')
    return [quoted, Buffer.byteLength(text)] as const
  })
  return {
    'rwkv_vocab_v20230424.txt': [...bytes, ...more]
      .map(([literal, length], index) => `${index + 1} ${literal} ${length}\n`)
      .join(''),
    'added_tokens.json': { '<s>': 0 },
    'tokenizer_config.json': {
      add_prefix_space: false,
      auto_map: { AutoTokenizer: ['hf_rwkv_tokenizer.RwkvTokenizer', null] },
      bos_token: '<s>',
      eos_token: '<s>',
      pad_token: '<s>',
      tokenizer_class: 'RwkvTokenizer',
      unk_token: '<s>',
      use_fast: false,
    },
  }
}
