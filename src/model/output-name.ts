import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Metadata } from '../../formats/gguf/index.js'

/**
 * The name that llama.cpp gives a GGUF file: `{basename or name}-{size}-{finetune}-{version}-{ENCODING}.gguf`, without what the metadata
 * lack. What could not stand in a file name becomes a dash. Source: naming_convention of gguf-py/gguf/utility.py, llama.cpp v0.5.0.
 * @param encoding the type or mixture, such as `Q4_K_M`; empty for none.
 * @param options mtpOnly: of the layers for multi-token prediction alone, whose name begins with `mtp-` and has no size.
 */
export function outputName(
  metadata: Metadata,
  encoding: string,
  { mtpOnly = false }: { mtpOnly?: boolean | undefined } = {},
): string {
  const text = (key: string): string => {
    const entry = metadata.get(`general.${key}`)
    return entry?.type === 'string' ? entry.value.trim() : ''
  }
  const isWholeName =
    text('basename') === '' && fileNamePart(text('finetune')).toLowerCase() === fileNamePart(text('name')).toLowerCase()
  const parts = [
    mtpOnly ? 'mtp' : '',
    text('basename') || text('name') || 'ggml-model',
    mtpOnly ? '' : text('size_label'),
    // A name of one part that begins with a digit is taken for a finetune, and stands in front already.
    isWholeName ? '' : text('finetune'),
    text('version'),
    encoding,
    metadata.get('general.type')?.value === 'adapter' ? 'LoRA' : '',
  ]
  const stem = parts.map(fileNamePart).filter(Boolean).join('-')
  return `${stem.slice(0, maxStemLength) || 'ggml-model'}.gguf`
}

/** Leaves room for `.partial` and the numbers of shards in the 255 bytes of a name. */
const maxStemLength = 200

function fileNamePart(text: string): string {
  return text.replaceAll(/[^\p{L}\p{N}._+-]+/gu, '-').replaceAll(/^[.-]+|-+$/g, '')
}

/** Where to write: the path given, a file of this name in it where it is a folder, and in the working folder where none is given. */
export async function outputPath(given: string | undefined, name: string): Promise<string> {
  if (given === undefined) return name
  const isFolder = await stat(given).then(
    (stats) => stats.isDirectory(),
    () => false,
  )
  return isFolder ? join(given, name) : given
}
