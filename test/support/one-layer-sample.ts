import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type SafetensorsInput, writeSafetensors } from '../../formats/safetensors/index.js'
import { samplePath } from './sample-models.js'

/**
 * Writes the first layer of samples/llama-kjv as a checkpoint, its embedding in place of its output matrix: a quarter of the weights, for
 * tests in which a model is measured and that do not ask which.
 */
export async function writeOneLayerSample(folder: string): Promise<void> {
  const sample = samplePath('llama-kjv')
  await mkdir(folder, { recursive: true })
  for (const name of ['tokenizer.json', 'tokenizer_config.json', 'generation_config.json']) {
    await copyFile(join(sample, name), join(folder, name))
  }
  const config = JSON.parse(await readFile(join(sample, 'config.json'), 'utf8')) as object
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, num_hidden_layers: 1, tie_word_embeddings: true }))
  const bytes = await readFile(join(sample, 'model.safetensors'))
  const dataStart = 8 + Number(bytes.readBigUInt64LE(0))
  const { __metadata__: _, ...header } = JSON.parse(bytes.toString('utf8', 8, dataStart)) as Header
  const kept = Object.entries(header).filter(([name]) => name !== 'lm_head.weight' && !/\.layers\.[1-9]/.test(name))
  const tensors = kept.map(
    ([
      name,
      {
        dtype,
        shape,
        data_offsets: [start, end],
      },
    ]): SafetensorsInput => {
      return { name, dtype, shape, data: bytes.subarray(dataStart + start, dataStart + end) }
    },
  )
  await writeSafetensors(join(folder, 'model.safetensors'), tensors)
}

type Header = Record<
  string,
  { readonly dtype: SafetensorsInput['dtype']; readonly shape: number[]; readonly data_offsets: [number, number] }
>
