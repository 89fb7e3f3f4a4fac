import type { Blueprint } from '../blueprint.js'
import type { Plan } from '../plan.js'
import { rowLength } from '../recipe/index.js'
import { defaultDamping, type KnownInputs, takesFeedback } from './calibration.js'
import { makingBytes, tableBytes } from './factors.js'
import type { FeedbackMemory } from './memory.js'
import type { Feedback } from './write-output.js'

/** Working memory of the kernels for each column, where the state is low; where it is the row's length, as much again. */
const workBytesEach = 2 * 96

/** How a plan's tensors are stored with what is known of their inputs, and what that takes. */
export async function feedbackOf(
  calibration: KnownInputs,
  plan: Plan,
  { tensors }: Pick<Blueprint, 'tensors'>,
): Promise<Feedback & { readonly memory: FeedbackMemory }> {
  const dampings = new Map(plan.tensors.map(({ name }) => [name, defaultDamping]))
  const making = new Map<number, number>()
  let threadBytes = 0
  for (const [index, tensor] of tensors.entries()) {
    const columns = rowLength(tensor)
    const input = calibration.inputOf(tensor.name, 0)
    const type = plan.tensors[index]?.type
    if (input === undefined || type === undefined || making.has(columns) || !takesFeedback(type, columns)) continue
    // Inputs of one width are known equally well.
    const covariance = await calibration.covariance(input)
    making.set(columns, makingBytes(covariance, columns))
    threadBytes = Math.max(threadBytes, tableBytes(covariance, columns) + workBytesEach * columns)
  }
  return {
    calibration,
    dampingOf: (tensor) => dampings.get(tensor) ?? 0,
    bytesOf: ({ columns }) => making.get(columns) ?? 0,
    memory: { threadBytes, sharedBytes: Math.max(0, ...making.values()) },
  }
}
