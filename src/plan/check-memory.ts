import { checkMemory } from '../engine/index.js'
import type { Blueprint } from '../model/index.js'
import { calibrationOf, type PlanningOptions } from './make-plan.js'
import type { PlanRequest } from './plan-request.js'

/**
 * Refuses a limit on memory that planning or quantizing could not keep, before either begins: call it where a plan is to be carried out
 * with the same limit.
 * @throws MqError MEMORY_TOO_SMALL.
 */
export function checkPlanMemory(blueprint: Blueprint, request: PlanRequest, options: PlanningOptions): void {
  const { memoryBytes, damping } = options
  const calibration = calibrationOf(blueprint, options)
  const budget = request.kind === 'bits' || request.kind === 'size' || request.kind === 'fit'
  const dampings = calibration !== undefined && calibration.fromWeights !== true && damping === undefined
  checkMemory(blueprint, memoryBytes, calibration, { measures: budget, dampings })
}
