import { efforts } from '../../../formats/ggml/effort.js'
import { findGgmlType } from '../../../formats/ggml/types.js'
import { isDamping } from '../../engine/index.js'
import { cacheTypes } from '../../footprint/index.js'
import { sensitivityEstimates } from '../../plan/index.js'
import { count, fileNames, size } from './common-fields.js'
import type { Fields } from './fields.js'

// The part of the table of build-fields.ts that says what an output is.

const typeOf = (text: string): string | undefined => (findGgmlType(text) === undefined ? `there is no type ${text}` : undefined)

const specs = (description: string) =>
  ({
    kind: 'list',
    single: true,
    description,
    fallback: 'none',
    items: { kind: 'text', description: 'One of them.' },
  }) as const

/** Goals that are budgets: errors decide the types. */
export const budgetGoals = ['bits', 'size', 'fit'] as const

/** What decides the types of an output: exactly one is given. */
const goals = [...budgetGoals, 'preset', 'type', 'mixture', 'plan'] as const

const outputFields = {
  bits: { kind: 'number', above: 0, most: 32, description: 'Budget: average bits per weight, never exceeded, such as 2.51.' },
  size: {
    ...size,
    examples: ['212GB'],
    description: 'Budget: size of the GGUF file, or of all shards together, never exceeded.',
  },
  fit: {
    ...size,
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
    ...size,
    examples: ['5GB'],
    description: 'Most tensor data of one file; a larger output is split.',
    fallback: 'one file',
  },
  effort: { kind: 'choice', choices: efforts, description: 'Search effort of the encoders.', fallback: 'default' },
} as const satisfies Fields

/** The outputs of a model. */
export const outputs = {
  kind: 'map',
  names: fileNames,
  description: 'Files to make, by name: the name is part of the file’s name and the tag that it is published under.',
  fallback: 'those of the top level',
  values: {
    kind: 'object',
    description: 'One output: exactly one of bits, size, fit, preset, type, mixture and plan says what it is.',
    exactlyOne: [goals],
    needs: {
      context: ['fit'],
      'cache-type': ['fit'],
      floors: budgetGoals,
      ties: budgetGoals,
      candidates: budgetGoals,
      sensitivity: budgetGoals,
    },
    fields: outputFields,
  },
} as const
