import { MqError } from '../../errors/index.js'
import { readShare } from '../../terminal/index.js'
import { parseBuildGate } from '../gates/parse-gate.js'
import { count, fileNames, size } from './common-fields.js'
import type { Fields } from './fields.js'
import { outputs } from './output-fields.js'

// The one table of what a build file may hold: validation, the JSON Schema and the types follow from it. Outputs: output-fields.ts.

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

/** What the calibration text of the package is called; a file of this name is `./package`. */
export const packageText = 'package'

const texts = {
  kind: 'list',
  single: true,
  items: {
    kind: 'text',
    examples: [packageText, 'data/chats.txt'],
    description: `A UTF-8 text file, or ${packageText}: the calibration text of mq, 20 kB of many kinds and languages.`,
  },
  description: `Text files, relative to the build file, or ${packageText}. Several are calibrated on one after another and merged.`,
} as const

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
    ...size,
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
    ...size,
    description: 'Memory limit of quantization, as --memory of `mq quantize`.',
    fallback: '600MB, or about 30MB for each thread if that is more',
  },
  models: {
    kind: 'map',
    required: true,
    names: fileNames,
    description: 'Models to build, by name.',
    values: { kind: 'object', description: 'A model: its source, and what is made of it.', fields: modelFields },
  },
  ...shared,
} as const satisfies Fields
