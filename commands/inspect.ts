import { Args, Flags } from '@oclif/core'
import { inspect } from '../src/inspect.js'
import { groupTensors, type InspectedValue, type Inspection } from '../src/model/inspect/index.js'
import { formatBytes, formatCount, formatTable } from '../src/terminal/index.js'
import { MqCommand } from './base-command.js'

const maxValueLength = 80

export default class Inspect extends MqCommand {
  static override summary = 'Show the metadata, tensors, types and bits per weight of a model file or checkpoint.'
  static override description =
    `Reads and checks headers only, no weights. Tensors that differ only in layer or expert number share a line.
Shapes are row-major for every format, with the row length last; GGUF stores dimensions in the reverse order.`
  static override examples = [
    '<%= config.bin %> inspect llama-Q4_K_M.gguf',
    '<%= config.bin %> inspect samples/deepseek-kjv-moe --all',
    '<%= config.bin %> inspect model-00001-of-00003.gguf --json',
  ]

  static override args = {
    path: Args.string({
      required: true,
      description:
        'A .gguf file, any shard of a split model, a .safetensors file, a checkpoint folder, or hf:NAMESPACE/NAME, of which only headers are read.',
    }),
  }

  static override flags = {
    all: Flags.boolean({ description: 'List every tensor on its own line.' }),
  }

  override async run(): Promise<Inspection> {
    const { args, flags } = await this.parse(Inspect)
    const inspection = await inspect(args.path, { signal: this.signal })
    const sections = [
      summary(inspection),
      metadataTable(inspection),
      typeTable(inspection),
      flags.all ? tensorTable(inspection) : groupTable(inspection),
    ]
    this.log(sections.filter((section) => section !== '').join('\n\n'))
    return inspection
  }
}

function summary(inspection: Inspection): string {
  const { path, format, container, files, architecture, tensors, elements, bitsPerWeight, widened } = inspection
  const fileBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  return [
    path,
    [format, container, architecture].filter(Boolean).join(', '),
    `${files.length === 1 ? '1 file' : `${files.length} files`}, ${formatBytes(fileBytes)}, ${tensors.length} tensors, ${formatCount(elements)} weights, ${bitsPerWeight.toFixed(2)} bits per weight`,
    ...(widened === undefined ? [] : [`widened with zeros: ${widened.join(', ')}`]),
  ].join('\n')
}

function metadataTable({ metadata }: Inspection): string {
  const rows = Object.entries(metadata).map(([key, entry]) => [oneLine(key), entry.type, showValue(entry)])
  return rows.length === 0 ? '' : formatTable([{ title: 'metadata' }, { title: 'type' }, { title: 'value' }], rows)
}

function typeTable({ types, dataBytes }: Inspection): string {
  return formatTable(
    [
      { title: 'type' },
      { title: 'tensors', align: 'right' },
      { title: 'weights', align: 'right' },
      { title: 'bits', align: 'right' },
      { title: 'size', align: 'right' },
      { title: 'share', align: 'right' },
    ],
    types.map(({ type, tensors, elements, bitsPerWeight, sizeBytes }) => [
      type,
      String(tensors),
      formatCount(elements),
      bitsPerWeight.toFixed(2),
      formatBytes(sizeBytes),
      `${((100 * sizeBytes) / Math.max(1, dataBytes)).toFixed(1)} %`,
    ]),
  )
}

function groupTable({ tensors }: Inspection): string {
  return formatTable(
    [
      { title: 'tensors' },
      { title: 'count', align: 'right' },
      { title: 'shape' },
      { title: 'type' },
      { title: 'bits', align: 'right' },
      { title: 'size', align: 'right' },
    ],
    groupTensors(tensors).map(({ name, tensors: [first, ...rest], sizeBytes }) => [
      oneLine(name),
      String(1 + rest.length),
      (first?.shape ?? []).join(' x '),
      first?.type ?? '',
      (first?.bitsPerWeight ?? 0).toFixed(2),
      formatBytes(sizeBytes),
    ]),
  )
}

function tensorTable({ tensors, files }: Inspection): string {
  const several = files.length > 1
  return formatTable(
    [
      { title: 'tensor' },
      { title: 'shape' },
      { title: 'type' },
      { title: 'bits', align: 'right' },
      { title: 'size', align: 'right' },
      ...(several ? [{ title: 'file' }] : []),
    ],
    tensors.map(({ name, shape, type, bitsPerWeight, sizeBytes, file }) => [
      oneLine(name),
      shape.join(' x '),
      type,
      bitsPerWeight.toFixed(2),
      formatBytes(sizeBytes),
      ...(several ? [file] : []),
    ]),
  )
}

function showValue({ type, value }: InspectedValue): string {
  if (!Array.isArray(value)) return oneLine(String(value))
  const length = Number(/\[(\d+)\]$/.exec(type)?.[1])
  const text = value.map((item) => JSON.stringify(item)).join(', ')
  return oneLine(length > value.length ? `${text}, …` : text)
}

/** Untrusted text for the terminal: without control characters, and cut to a line. */
function oneLine(text: string): string {
  const line = text.slice(0, 2 * maxValueLength).replaceAll(/\p{C}/gu, (character) => (character === '\n' ? '⏎' : '·'))
  return line.length <= maxValueLength ? line : `${line.slice(0, maxValueLength)}…`
}
