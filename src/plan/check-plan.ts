import { MqError } from '../errors/index.js'
import type { Blueprint, BlueprintTensor } from '../model/index.js'
import { sameShape } from '../recipe/index.js'
import type { Plan, PlanTensor } from './plan.js'
import { planOf, tensorProblem } from './plan-sizes.js'

/**
 * Checks that a plan is one for this model: the same tensors with the same shapes, in types that can hold them.
 * @returns the plan with its tensors in the order of the blueprint, which is that of the file, and its sizes worked out anew.
 * @throws MqError PLAN_MISMATCH.
 */
export function checkPlan(plan: Plan, blueprint: Blueprint): Plan {
  if (plan.architecture !== blueprint.architecture) {
    throw mismatch(`its architecture is ${plan.architecture}, that of the model ${blueprint.architecture}`)
  }
  const [planned, merged] = [adapterText(plan), adapterText(blueprint)]
  if (plan.adapters !== undefined && planned !== merged) {
    throw mismatch(`it was made for the model with ${planned}, and this is the model with ${merged}: merge the same adapters`)
  }
  const lines = new Map(plan.tensors.map((tensor) => [tensor.name, tensor]))
  if (lines.size !== plan.tensors.length) throw mismatch('it has a tensor twice')
  const tensors = blueprint.tensors.map((tensor) => {
    const line = lines.get(tensor.name)
    if (line === undefined) throw mismatch(`it has no tensor ${tensor.name}`)
    lines.delete(tensor.name)
    return checkTensor(line, tensor)
  })
  for (const name of lines.keys()) throw mismatch(`the model has no tensor ${name}`)
  return planOf(plan, tensors)
}

/** Adapters for a message, by name, digest and scale. */
function adapterText({ adapters = [] }: Pick<Blueprint, 'adapters'>): string {
  if (adapters.length === 0) return 'no adapter'
  return adapters
    .map(({ name, sha256, scale }) => `the adapter ${name} (SHA-256 ${sha256.slice(0, 12)}, times ${scale})`)
    .join(' and ')
}

function checkTensor(
  line: PlanTensor,
  { name, shape, modelElements, role, layer, keepF32, storedType }: BlueprintTensor,
): PlanTensor {
  if (!sameShape(line.shape, shape)) {
    throw mismatch(`the tensor ${name} has the shape ${shape.join(' x ')} in the model and ${line.shape.join(' x ')} in the plan`)
  }
  const only = storedType === 'I32' ? 'I32' : 'F32'
  if (keepF32 && line.type !== only) throw mismatch(`the tensor ${name} must be ${only} but is ${line.type} in the plan`)
  const problem = tensorProblem(shape, line.type)
  if (problem !== undefined) throw mismatch(`the tensor ${name}: ${problem}`)
  const { layer: _, ...rest } = line
  return { ...rest, modelElements, role, layer }
}

function mismatch(problem: string): MqError {
  return MqError.of('PLAN_MISMATCH', { problem })
}
