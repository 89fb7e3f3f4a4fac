/** What the name of a repository or folder says of a model, such as `Llama-3.2-1B-Instruct`. */
export interface NameParts {
  /** The name itself, without the organization. */
  readonly name?: string
  readonly organization?: string
  readonly basename?: string
  readonly finetune?: string
  readonly version?: string
  readonly sizeLabel?: string
}

type Kind = 'basename' | 'size' | 'finetune' | 'version' | 'type'

interface Part {
  text: string
  readonly kinds: Set<Kind>
}

/**
 * Takes a model's name apart at its dashes, with the rules of llama.cpp's converter (gguf-py/gguf/metadata.py, get_model_id_components,
 * v0.5.0), so that general.* says the same in both.
 * @param parameters of the model: a size in its name that is far from them is rather a context length. Below 0 of an adapter, which may
 * change a part of the model only: a larger size in its name is that of the model.
 */
export function nameParts(modelId: string, parameters: number): NameParts {
  if (modelId.includes(' ')) return { name: modelId }
  const slash = modelId.indexOf('/')
  const organization = slash < 0 ? '' : modelId.slice(0, slash)
  const name = modelId.slice(slash + 1)
  const parts = name
    .split('-')
    .filter((text) => text !== '')
    .map((text, index) => classify(text, index, parameters))

  if (parts.some(({ kinds, text }) => kinds.has('size') && /\d/.test(text))) {
    for (const { kinds, text } of parts) if (/^\p{L}+$/u.test(text)) kinds.delete('size')
  }
  markBasename(parts)
  const joined = (kind: Kind, without?: Kind): string | undefined => {
    const found = parts.filter(({ kinds }) => kinds.has(kind) && !(without !== undefined && kinds.has(without)))
    const texts = found.map(({ text }) => text)
    return (kind === 'size' ? [...new Set(texts)] : texts).join('-') || undefined
  }
  const sizeLabel = joined('size')
  const finetune = joined('finetune')
  const version = joined('version', 'basename')
  const basename = sizeLabel === undefined && finetune === undefined && version === undefined ? undefined : joined('basename')
  return {
    name,
    ...(organization === '' || organization.startsWith('.') ? {} : { organization }),
    ...(basename === undefined ? {} : { basename }),
    ...(finetune === undefined ? {} : { finetune }),
    ...(version === undefined ? {} : { version }),
    ...(sizeLabel === undefined ? {} : { sizeLabel }),
  }
}

function classify(text: string, index: number, parameters: number): Part {
  if (/^(v|iter)?\d+([.]\d+)*$/i.test(text)) return { text, kinds: new Set(['version']) }
  if (/^(i?q\d(_\w)*|b?fp?(16|32))$/i.test(text)) return { text: text.toUpperCase(), kinds: new Set(['type']) }
  if (index > 0 && /^(([A]|\d+x)?\d+([._]\d+)?[KMBT]\d?|small|mini|medium|large|x?xl)$/i.test(text)) {
    return classifySize(text.replaceAll('_', '.'), parameters)
  }
  // The name of an adapter need not say that it is one.
  if (index > 0 && parameters < 0 && /^lora$/i.test(text)) return { text, kinds: new Set(['type']) }
  if (index > 0 && /^(chat|instruct|vision|lora)$/i.test(text)) return { text, kinds: new Set(['finetune']) }
  return { text, kinds: new Set() }
}

function classifySize(written: string, parameters: number): Part {
  // 7b1 is 7.1B.
  const text = written
    .replace(/([a-z])(\d)$/i, '.$2$1')
    .replace(/(\d)([kmbt])$/, (_, digit: string, unit: string) => digit + unit.toUpperCase())
  const value = /^\d+(\.\d+)?$/.test(text.slice(0, -1)) ? Number(text.slice(0, -1)) : Number.NaN
  const labelled = value * 1000 ** ' KMBT'.indexOf(text.at(-1) ?? '')
  const isFar = parameters > 0 && Math.abs(labelled - parameters) > Math.floor((7 * parameters) / 8)
  if (isFar || (parameters < 0 && labelled < Math.floor(-parameters / 8))) {
    return { text: text.slice(0, -1) + (text.at(-1) ?? '').toLowerCase(), kinds: new Set(['finetune']) }
  }
  return { text, kinds: new Set(['size']) }
}

function markBasename(parts: readonly Part[]): void {
  let atStart = true
  for (const { text, kinds } of parts) {
    if (atStart && ((kinds.size === 0 && /^\p{L}/u.test(text)) || kinds.has('version'))) {
      kinds.add('basename')
    } else {
      atStart = false
      if (kinds.size === 0) kinds.add('finetune')
    }
  }
  for (const { kinds } of parts.toReversed()) {
    if (!kinds.has('basename') || kinds.size === 1) break
    kinds.delete('basename')
  }
}

/** A name in words: dashes are spaces, lower-case words get a capital, except versions and what begins with a digit. */
export function titleOf(name: string): string {
  return name
    .trim()
    .replaceAll('-', ' ')
    .split(/\s+/)
    .map((word) => (isLower(word) && !/^(v\d+(?:\.\d+)*|\d.*)$/.test(word) ? capitalize(word) : word))
    .join(' ')
}

function isLower(word: string): boolean {
  return word === word.toLowerCase() && word !== word.toUpperCase()
}

/** Every run of letters begins with a capital. */
function capitalize(word: string): string {
  return word.replaceAll(/\p{L}+/gu, (letters) => letters.charAt(0).toUpperCase() + letters.slice(1).toLowerCase())
}
