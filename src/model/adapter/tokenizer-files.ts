import { type Checkpoint, type CheckpointFolder, readJsonFile, readTemplates, readTextFile } from '../checkpoint/index.js'
import type { Adapter } from './open-adapter.js'

/** Files that belong to a tokenizer, whichever of them a model has. */
const tokenizerFiles: ReadonlySet<string> = new Set([
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'tokenizer.model',
  'spiece.model',
  'chat_template.jinja',
  'chat_template.json',
])

/** Readers of small files; tokenizer files may come from an adapter. */
type Readers = Pick<Checkpoint, 'readBytes' | 'readText' | 'readJson' | 'readTemplates'> & { readonly notes: readonly string[] }

/**
 * The small files of a checkpoint with adapters. A tokenizer that was saved with an adapter is the one that it was trained with: its chat
 * template and new tokens count, unless it has tokens for which the embedding has no row.
 * @param vocabulary rows of the embedding, where an adapter changes their number.
 */
export async function tokenizerOf(
  base: Checkpoint,
  adapters: readonly Adapter[],
  vocabulary: number | undefined,
): Promise<Readers> {
  const ofBase = {
    readBytes: (file: string) => base.readBytes(file),
    readText: (file: string) => base.readText(file),
    readJson: (file: string) => base.readJson(file),
    readTemplates: () => base.readTemplates(),
  }
  const rows = vocabulary ?? vocabularySize(base.config)
  for (const { folder, name } of adapters.toReversed()) {
    const names = new Set(await folder.names())
    if (!names.has('tokenizer.json') && !(vocabulary !== undefined && names.has('tokenizer.model'))) continue
    const used = await tokensOf(folder)
    if (rows !== undefined && used > rows) {
      const note = `The tokenizer beside the adapter ${name} has ${used} tokens, and the embedding ${rows} rows: that of the model is used.`
      return { ...ofBase, notes: [note] }
    }
    const isOwn = (file: string): boolean => tokenizerFiles.has(file)
    return {
      readBytes: (file) => (isOwn(file) ? folder.readBytes(file) : base.readBytes(file)),
      readText: (file) => (isOwn(file) ? readTextFile(folder, file) : base.readText(file)),
      readJson: (file) => (isOwn(file) ? readJsonFile(folder, file) : base.readJson(file)),
      readTemplates: () => readTemplates(folder),
      notes: [`The tokenizer and its chat template are those beside the adapter ${name}.`],
    }
  }
  return { ...ofBase, notes: [] }
}

function vocabularySize(config: Checkpoint['config']): number | undefined {
  const nested = config['text_config'] as Readonly<Record<string, unknown>> | null | undefined
  const size = nested?.['vocab_size'] ?? config['vocab_size']
  return typeof size === 'number' ? size : undefined
}

/** Returns the largest token id of tokenizer.json plus one. */
async function tokensOf(folder: CheckpointFolder): Promise<number> {
  const json = await readJsonFile(folder, 'tokenizer.json')
  const { vocab } = (json?.['model'] ?? {}) as { readonly vocab?: unknown }
  const added = Array.isArray(json?.['added_tokens']) ? json['added_tokens'] : []
  const ids = [
    ...(Array.isArray(vocab) ? [vocab.length - 1] : Object.values((vocab ?? {}) as Record<string, unknown>)),
    ...added.map((token: unknown) => (token as { readonly id?: unknown } | null)?.id),
  ]
  return ids.reduce<number>((most, id) => (typeof id === 'number' && id + 1 > most ? id + 1 : most), 0)
}
