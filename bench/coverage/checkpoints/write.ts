import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { writeSafetensors } from '../../../formats/safetensors/index.js'
import { projectRoot } from '../root.js'
import { type CheckpointSpec, parseTensors } from './spec.js'
import { fillTensor } from './values.js'

/** The field is replaced in the text, for a number such as 30.0 would not come through JSON.parse as it is. */
const architecturesField = /("architectures": \[\s*")[^"]*("\s*\])/

/** Name of a checkpoint's folder, from which converters take the model's name. */
function folderName({ name }: CheckpointSpec): string {
  return `tiny-${name}`
}

/**
 * Writes the checkpoint of a specification into the folder `parent`/tiny-NAME.
 * @param className what `architectures` of config.json names; by default the first of the specification.
 * @param leaveOut names of tensors that are not written.
 * @returns the folder.
 */
export async function writeCheckpointOf(
  spec: CheckpointSpec,
  parent: string,
  className = spec.classes[0],
  leaveOut?: RegExp,
): Promise<string> {
  const folder = join(parent, folderName(spec))
  await mkdir(folder, { recursive: true })
  const source = join(projectRoot, 'bench', 'coverage', 'checkpoints', 'cases', spec.checkpoint ?? spec.name)
  const [config, table] = await Promise.all([
    readFile(join(source, spec.mistralFormat === true ? 'params.json' : 'config.json'), 'utf8'),
    readFile(join(source, 'tensors.txt'), 'utf8'),
  ])
  const kept = parseTensors(table, spec.dtype ?? 'BF16').filter(({ name }) => leaveOut?.test(name) !== true)
  const tensors = kept.map((tensor) => fillTensor(tensor, spec.name, spec.values))
  const weights = spec.mistralFormat === true ? 'consolidated.safetensors' : 'model.safetensors'
  await writeSafetensors(join(folder, weights), tensors, new Map([['format', 'pt']]))
  const files: Readonly<Record<string, unknown>> = {
    ...(spec.mistralFormat === true
      ? { 'params.json': config }
      : { 'config.json': config.replace(architecturesField, `$1${className}$2`) }),
    ...spec.files,
  }
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name)
    await mkdir(dirname(path), { recursive: true })
    const asIs = typeof content === 'string' || content instanceof Uint8Array
    await writeFile(path, asIs ? content : `${JSON.stringify(content, null, 2)}\n`)
  }
  return folder
}
