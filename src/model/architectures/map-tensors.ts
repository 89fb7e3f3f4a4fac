import { MqError } from '../../errors/index.js'
import { blocksOf, sameShape, showShape } from '../../recipe/index.js'
import type { Checkpoint } from '../checkpoint/index.js'
import { silently } from './tensor-mappings.js'
import type { Model, NamedTensor } from './types.js'

/** The tensors of the output, in its order, and what the user should know of those left out. */
export interface MappedTensors {
  readonly tensors: readonly NamedTensor[]
  readonly notes: readonly string[]
}

/**
 * Turns every tensor of the checkpoint into those of the output, in the order of llama.cpp's converter: computed ones, then as the
 * checkpoint's names come; but first of all those whose blocks stay as they are.
 * @throws MqError TENSOR_MISSING, TENSOR_UNEXPECTED, TENSOR_SHAPE, STORAGE_UNSUPPORTED.
 */
export function mapTensors(checkpoint: Checkpoint, model: Model): MappedTensors {
  const tensors = [...model.computed]
  const leftOut = new Map<string, number>()
  const seen = new Set<string>()
  for (const stored of checkpoint.names) {
    const name = model.rename(stored)
    const expected = model.expected.get(name)
    const isOfGptq = expected === undefined && isBiasOfGptq(checkpoint, model, name)
    const reason = model.leaveOut(stored) ?? (isOfGptq ? ofGptq : undefined)
    if (reason !== undefined) {
      leftOut.set(reason, (leftOut.get(reason) ?? 0) + 1)
      continue
    }
    if (expected === undefined) {
      const advice = adviceOn(stored)
      throw MqError.of('TENSOR_UNEXPECTED', { path: checkpoint.path, tensor: stored, architecture: model.architecture, advice })
    }
    const shape = checkpoint.shapeOf(stored) ?? []
    if (!sameShape(shape, expected.shape)) {
      throw MqError.of('TENSOR_SHAPE', { tensor: stored, shape: showShape(shape), expected: showShape(expected.shape) })
    }
    seen.add(name)
    tensors.push(...expected.toGguf(checkpoint.tensor(stored)))
  }
  for (const [name, { required }] of model.expected) {
    if (required && !seen.has(name)) throw MqError.of('TENSOR_MISSING', { path: checkpoint.path, tensor: name })
  }
  leftOut.delete(silently)
  // Tables, then blocks that stay as they are, then all else.
  const ranked = tensors.map((tensor) => {
    const stored = blocksOf(tensor.recipe)
    return { tensor, rank: stored?.always !== true ? 2 : stored.type === 'I32' ? 0 : 1 }
  })
  return {
    tensors: ranked.toSorted((a, b) => a.rank - b.rank).map(({ tensor }) => tensor),
    notes: [...leftOut].map(([reason, count]) => `Left out ${count} tensor${count === 1 ? '' : 's'} ${reason}.`),
  }
}

const ofGptq = 'with biases that the model does not have: GPTQ adds one of zeros to each matrix'

/** Whether a tensor is the bias of a matrix that has none in its model, which makers of GPTQ checkpoints write nonetheless. */
function isBiasOfGptq({ config }: Checkpoint, { expected }: Model, name: string): boolean {
  const quantization = config['quantization_config'] as Readonly<Record<string, unknown>> | undefined
  return quantization?.['quant_method'] === 'gptq' && expected.has(name.replace(/\.bias$/, '.weight'))
}

/** What to do about a tensor that a model does not have: by its name, how it came there. */
function adviceOn(name: string): string {
  if (/lora_|modules_to_save|original_module|base_layer/.test(name)) {
    return 'Merge the adapter into the model first, with merge_and_unload() of peft, and save that'
  }
  if (name.endsWith('.bias')) {
    return 'transformers ignores a bias that the model class does not have: remove it, or check that config.json belongs to these weights'
  }
  const wrapper =
    /^(?:base_model\.model|module|_orig_mod|_fsdp_wrapped_module|transformer_engine|policy|actor|model(?=\.(?:model|lm_head)\.))\./.exec(
      name,
    )?.[0]
  if (wrapper !== undefined) return `Save the model without the wrapper whose names begin with "${wrapper}"`
  if (/(?:^|\.)(?:score|classifier|v_head|value_head|reward_head|regression_head)\./.test(name)) {
    return 'The model has a regression or classification head, which is not converted: use the language model it was fine-tuned from'
  }
  if (/[._](?:scale|scale_inv|scales|zero_point|absmax|SCB)$/.test(name)) {
    return 'If the weights are dequantized already, remove the scales from the weight files; else add the quantization_config of the original config.json'
  }
  return 'Check that config.json belongs to these weights'
}
