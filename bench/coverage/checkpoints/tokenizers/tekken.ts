import type { Json } from '../spec.js'
import { preTokenizerOf } from './pre-tokenizers.js'

/** Tokens of more than one byte, in the order of their ranks; some can be merged in two ways. */
const words = ' t|he|in| the|er| a|re|on|ing|the|and| and|    |\n\n|é|日|本|日本'.split('|')

/** Special tokens of a new file; older ones list none. */
const named =
  '<unk>|<s>|</s>|[INST]|[/INST]|[AVAILABLE_TOOLS]|[/AVAILABLE_TOOLS]|[TOOL_RESULTS]|[/TOOL_RESULTS]|[TOOL_CALLS]|[IMG]|<pad>|[IMG_BREAK]|[IMG_END]|[PREFIX]|[MIDDLE]|[SUFFIX]|[SYSTEM_PROMPT]|[/SYSTEM_PROMPT]|[TOOL_CONTENT]|[ARGS]|[CALL_ID]|[THINK]|[/THINK]'.split(
    '|',
  )

/** tekken.json: 256 bytes, some words, and behind them tokens that the vocabulary has no room for. @param size of the vocabulary. */
export function tekkenFiles(size: number, version = 'v13'): Json {
  const bytes = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte))
  const parts = tokensOf(words)
  const beyond = ['xq', 'qx'].map((word) => new TextEncoder().encode(word))
  const vocab = [...bytes, ...parts, ...beyond].map((token, rank) => ({
    rank,
    token_bytes: Buffer.from(token).toString('base64'),
    token_str: rank < 128 ? String.fromCharCode(rank) : null,
  }))
  const { pretokenizers } = preTokenizerOf('tekken') as { pretokenizers: [{ pattern: { Regex: string } }] }
  return {
    'tekken.json': {
      config: {
        pattern: pretokenizers[0].pattern.Regex,
        num_vocab_tokens: vocab.length,
        default_vocab_size: size,
        default_num_special_tokens: size - 256 - parts.length,
        version,
      },
      vocab,
      ...(version === 'v7'
        ? {}
        : { special_tokens: named.map((token_str, rank) => ({ rank, token_str, is_control: token_str !== '[THINK]' })) }),
    },
  }
}

/** The bytes of words, and before each what it is merged from where that is no byte. */
function tokensOf(list: readonly string[]): Uint8Array[] {
  const found = new Map<string, Uint8Array>()
  const add = (bytes: Uint8Array): void => {
    if (bytes.length < 2) return
    const known = (part: Uint8Array): boolean => part.length === 1 || found.has(part.join())
    const cut = Array.from({ length: bytes.length - 1 }, (_, at) => at + 1).find(
      (at) => known(bytes.subarray(0, at)) && known(bytes.subarray(at)),
    )
    if (cut === undefined) add(bytes.subarray(0, -1))
    found.set(bytes.join(), bytes)
  }
  for (const word of list) add(new TextEncoder().encode(word))
  return [...found.values()]
}
