import { efforts } from '../../../formats/ggml/effort.js'
import { findGgmlType } from '../../../formats/ggml/types.js'
import { isDamping } from '../../engine/index.js'
import { MqError } from '../../errors/index.js'
import { cacheTypes } from '../../footprint/index.js'
import { sensitivityEstimates } from '../../plan/index.js'
import { readShare, readSize } from '../../terminal/index.js'
import { parseBuildGate } from '../gates/parse-gate.js'
import type { Fields } from './fields.js'

// The one table of what a build file may hold. Long for that reason: validation, the JSON Schema and the types follow from it.

const sizeOf = (text: string): string | undefined =>
  readSize(text) === undefined ? 'it is not a size such as 512MB or 1.5GiB' : undefined
const sizePattern = String.raw`^\s*[0-9]+(\.[0-9]+)?\s*([KMGTkmgt]?[iI]?[bB]?)\s*$`

const typeOf = (text: string): string | undefined => (findGgmlType(text) === undefined ? `there is no type ${text}` : undefined)

const confidenceOf = (text: string): string | undefined => {
  const share = readShare(text)
  return share !== undefined && share >= 0.5 && share < 1 ? undefined : 'it is not at least 50% and less than 100%'
}

const gateOf = (text: string): string | undefined => {
  try {
    parseBuildGate(text)
    return undefined
  } catch (error) {
    return String(MqError.from(error).details['problem'])
  }
}

/** Names that may stand in file names, tags and graphs. */
const namePattern = '^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$'
const nameProblem = 'a name has up to 100 letters, digits, ".", "_" and "-", and begins with none of ".", "-"'

const texts = {
  kind: 'list',
  single: true,
  items: { kind: 'text', description: 'A UTF-8 text file.' },
  description: 'Text files, relative to the build file. Several are calibrated on one after another and merged.',
} as const

/** A positive whole number. */
const count = (description: string, fallback: string, least = 1) =>
  ({ kind: 'number', whole: true, least, most: 2 ** 27, description, fallback }) as const

const calibrationFields = {
  text: texts,
  file: {
    kind: 'text',
    description: 'A file of `mq imatrix` or llama-imatrix that is there already.',
  },
  'same-as': { kind: 'text', description: 'Name of another model of this file, whose calibration is used.' },
  chunks: count('Maximum number of chunks of each text.', 'the whole text'),
  context: count('Tokens of a chunk.', '512', 16),
  rank: {
    kind: 'number',
    whole: true,
    least: 0,
    most: 4096,
    description: 'Rank of the low-rank sketch of input covariances; 0: importance matrix only.',
    fallback: 'full covariances up to 1024 columns, rank 64 above',
  },
  memory: {
    kind: 'text',
    check: sizeOf,
    pattern: sizePattern,
    description: 'Limit for all covariances together, in memory and in the file, such as 4GiB.',
    fallback: '1GiB',
  },
  'process-output': { kind: 'flag', description: 'Collect statistics of output.weight, too.', fallback: 'false' },
} as const satisfies Fields

const calibration = {
  kind: 'object',
  description: 'What importance and input covariances come from: texts, a file, or another model.',
  fallback: 'none',
  exactlyOne: [['text', 'file', 'same-as']],
  needs: { chunks: ['text'], context: ['text'], rank: ['text'], memory: ['text'], 'process-output': ['text'] },
  short: 'text',
  fields: calibrationFields,
} as const

const test = {
  kind: 'object',
  description:
    'Held-out text that outputs are measured on, against the reference. Needed for gates on anything but size and bits.',
  fallback: 'nothing is measured',
  short: 'text',
  fields: {
    text: { kind: 'text', required: true, description: 'A UTF-8 text file that neither training nor calibration has seen.' },
    chunks: count('Maximum number of chunks.', 'the whole text'),
    context: count('Tokens of a chunk.', '512', 8),
  },
} as const

const specs = (description: string, check?: (text: string) => string | undefined) =>
  ({
    kind: 'list',
    single: true,
    description,
    fallback: 'none',
    items: { kind: 'text', description: 'One of them.', ...(check !== undefined && { check }) },
  }) as const

/** What decides the types of an output: exactly one is given. */
export const outputGoals = ['bits', 'size', 'fit', 'preset', 'type', 'mixture', 'plan'] as const

const outputFields = {
  bits: { kind: 'number', above: 0, most: 32, description: 'Budget: average bits per weight, never exceeded, such as 2.51.' },
  size: {
    kind: 'text',
    check: sizeOf,
    pattern: sizePattern,
    examples: ['212GB'],
    description: 'Budget: size of the GGUF file, or of all shards together, never exceeded.',
  },
  fit: {
    kind: 'text',
    check: sizeOf,
    pattern: sizePattern,
    examples: ['24GiB'],
    description: 'Budget: memory of the running model, with KV cache and compute buffers, never exceeded.',
  },
  preset: { kind: 'text', examples: ['Q4_K_M'], description: 'Preset of llama-quantize. `mq plan --list` shows all.' },
  type: { kind: 'text', check: typeOf, examples: ['Q8_0'], description: 'One type for all weight matrices.' },
  mixture: {
    kind: 'text',
    examples: ['unsloth-q2_k_xl'],
    description: 'A mixture that comes with mq, by its name, or a JSON file, by its path.',
  },
  plan: { kind: 'text', description: 'A plan file, as `mq plan -o` writes it; types may be edited.' },
  context: count('With fit: context length of the memory estimate, in tokens.', '8192'),
  'cache-type': {
    kind: 'choice',
    choices: cacheTypes.map((type) => type.toLowerCase()) as readonly string[],
    description: 'With fit: type of the KV cache.',
    fallback: 'f16',
  },
  floors: specs('ROLE=TYPE: lowest type that a budget may choose for a role or for attention, dense, shared, experts.'),
  ties: specs('ROLE,ROLE: roles that get the same type within a layer when a budget chooses.'),
  candidates: specs('TYPE: further types that a budget may choose, such as Q2_0, where the runtime reads them.'),
  'tensor-types': specs('REGEX=TYPE: types of tensors by name, as exceptions.'),
  calibration: {
    kind: 'choice',
    choices: ['full', 'importance', 'none'],
    description:
      'How much of the calibration is used: importance and covariances (error feedback), importance alone, or nothing.',
    fallback: 'full',
  },
  sensitivity: {
    kind: 'choice',
    choices: sensitivityEstimates,
    description: 'How sensitivity is estimated for bit allocation, as --calibrate of `mq quantize`.',
    fallback: 'fast with a calibration, else none',
  },
  damping: {
    kind: 'number',
    least: 0,
    most: 10_000,
    check: (value: number) => (isDamping(value) ? undefined : 'it is neither 0 nor from 0.0001 to 10000'),
    description: 'Damping of error feedback for all tensors; 0 for none.',
    fallback: 'chosen on held-out chunks of the calibration',
  },
  smooth: {
    kind: 'flag',
    description: 'Move scales between norms and matrices, as --smooth of `mq quantize`.',
    fallback: 'true with bits, size and fit and a calibration',
  },
  widen: {
    kind: 'choice',
    choices: ['auto', 'none', 'always'],
    description: 'Add zeros to widths that are not multiples of 256.',
    fallback: 'auto with bits, size and fit, else none',
  },
  shards: {
    kind: 'text',
    check: sizeOf,
    pattern: sizePattern,
    examples: ['5GB'],
    description: 'Most tensor data of one file; a larger output is split.',
    fallback: 'one file',
  },
  effort: { kind: 'choice', choices: efforts, description: 'Search effort of the encoders.', fallback: 'default' },
} as const satisfies Fields

const outputs = {
  kind: 'map',
  names: { pattern: namePattern, problem: nameProblem },
  description: 'Files to make, by name: the name is part of the file’s name and the tag that it is published under.',
  fallback: 'those of the top level',
  values: {
    kind: 'object',
    description: 'One output: exactly one of bits, size, fit, preset, type, mixture and plan says what it is.',
    exactlyOne: [outputGoals],
    needs: {
      context: ['fit'],
      'cache-type': ['fit'],
      floors: ['bits', 'size', 'fit'],
      ties: ['bits', 'size', 'fit'],
      candidates: ['bits', 'size', 'fit'],
      sensitivity: ['bits', 'size', 'fit'],
    },
    fields: outputFields,
  },
} as const

const names = {
  kind: 'list',
  single: true,
  description: 'Names of outputs.',
  fallback: 'all of the model',
  items: { kind: 'text', description: 'The name of an output.' },
} as const

const gates = {
  kind: 'list',
  description: 'Limits that figures have to keep. Where one fails, nothing at all is published and the exit status is 5.',
  fallback: 'none',
  items: {
    kind: 'object',
    short: 'gate',
    description: 'A gate, or its text alone.',
    fields: {
      gate: {
        kind: 'text',
        required: true,
        check: gateOf,
        examples: ['kld<=0.05', 'kld.q99<=0.5', 'same-top>=90%', 'size<=3GB', 'kld<=small', 'kld<=0.5*small'],
        description:
          'A figure of `mq verify`, <= or >=, and a number; or the name of another output, whose same figure is the limit, with a factor before it or without.',
      },
      outputs: names,
      confidence: {
        kind: 'text',
        check: confidenceOf,
        examples: ['95%'],
        description:
          'One-sided confidence with which the gate must hold. Against another output: for kld alone, paired by chunk.',
        fallback: 'standard errors are ignored',
      },
    },
  },
} as const

const publish = {
  kind: 'list',
  description: 'Where outputs go when every gate has passed, as `mq publish` does it.',
  fallback: 'nowhere',
  items: {
    kind: 'object',
    description: 'One publication. {model} and {output} in name, tag and to stand for the names of this file.',
    fields: {
      name: { kind: 'text', required: true, examples: ['me/{model}-GGUF'], description: 'NAMESPACE/NAME.' },
      tag: { kind: 'text', examples: ['{output}'], description: 'The tag.', fallback: '{output}' },
      to: {
        kind: 'text',
        examples: ['registry', 'dist/{model}', 'hf:me/{model}-GGUF', 'ollama'],
        description:
          'registry, ollama, lmstudio, text-generation-webui, llama-server, hf:NAMESPACE/NAME, or a folder, relative to the build file.',
        fallback: 'registry',
      },
      registry: { kind: 'text', description: 'Folder of the registry.', fallback: '$MQ_REGISTRY, else that of `mq publish`' },
      directory: { kind: 'text', description: 'Folder of models of the program, where it is not in its usual place.' },
      outputs: names,
      replace: {
        kind: 'flag',
        description: 'Replace files of another content, and a model card that is not mq’s, in folders of programs and others.',
        fallback: 'false',
      },
      check: { kind: 'flag', description: 'Load the file with llama.cpp first.', fallback: 'true' },
    },
  },
} as const

const card = {
  kind: 'object',
  description:
    'What the model card says that the source does not. Cards are written by every publication but those to the registry.',
  fallback: 'as the source says',
  fields: {
    license: { kind: 'text', examples: ['apache-2.0'], description: 'Licence.', fallback: 'as the source says' },
    'base-model': {
      kind: 'text',
      examples: ['meta-llama/Llama-3.1-8B'],
      description: 'Base model.',
      fallback: 'as the source says',
    },
  },
} as const

/** What a model has, and what the top level may say for all of them. */
const shared = { calibration, test, outputs, gates, publish, card } as const

const modelFields = {
  source: {
    kind: 'text',
    required: true,
    examples: ['./merged', 'hf:NAMESPACE/NAME', 'registry:NAMESPACE/NAME:TAG'],
    description:
      'Checkpoint folder or GGUF file, relative to the build file; hf:NAMESPACE/NAME[:TAG][@REVISION]; or registry:NAMESPACE/NAME[:TAG] of the registry on this machine.',
  },
  registry: {
    kind: 'text',
    description: 'Folder of the registry that registry: names are looked up in.',
    fallback: '$MQ_REGISTRY, else that of `mq publish`',
  },
  lora: {
    kind: 'list',
    single: true,
    description: 'LoRA adapters of peft to merge, in order: folders or hf: names, each with :SCALE behind it or without.',
    fallback: 'none',
    items: { kind: 'text', description: 'An adapter.' },
  },
  reference: {
    kind: 'text',
    description: 'What outputs are measured against, named as a source is.',
    fallback: 'the source, with its adapters',
  },
  name: {
    kind: 'text',
    description: 'Name of the model in the metadata, such as ORG/My-Model-8B.',
    fallback: 'as the source says',
  },
  pre: { kind: 'text', description: 'Name of the pre-tokenizer in llama.cpp.', fallback: 'detected' },
  mtp: {
    kind: 'choice',
    choices: ['without', 'only'],
    description: 'Layers for multi-token prediction: leave them out, or convert nothing else.',
    fallback: 'as llama.cpp’s converter',
  },
  ...shared,
} as const satisfies Fields

/** A build file. */
export const buildFields = {
  title: { kind: 'text', description: 'Title of the summary.', fallback: 'the name of the file' },
  threads: { kind: 'number', whole: true, least: 1, most: 1024, description: 'Worker threads.', fallback: 'one for each core' },
  memory: {
    kind: 'text',
    check: sizeOf,
    pattern: sizePattern,
    description: 'Memory limit of quantization, as --memory of `mq quantize`.',
    fallback: '600MB, or about 30MB for each thread if that is more',
  },
  models: {
    kind: 'map',
    required: true,
    names: { pattern: namePattern, problem: nameProblem },
    description: 'Models to build, by name.',
    values: { kind: 'object', description: 'A model: its source, and what is made of it.', fields: modelFields },
  },
  ...shared,
} as const satisfies Fields
