import { checkMemory } from '../engine/index.js'
import type { Blueprint } from '../model/index.js'
import { calibrationOf, type PlanningOptions } from './make-plan.js'
import type { PlanRequest } from './plan-request.js'

/**
 * Checks a memory limit against the needs of planning and quantizing, before either begins: call it where a plan will be run with the same limit.
 * @throws MqError MEMORY_TOO_SMALL.
 */
export function checkPlanMemory(blueprint: Blueprint, request: PlanRequest, options: PlanningOptions): void {
  const { memoryBytes, damping } = options
  const calibration = calibrationOf(blueprint, options)
  const budget = request.kind === 'bits' || request.kind === 'size' || request.kind === 'fit'
  const dampings = calibration !== undefined && calibration.fromWeights !== true && damping === undefined
  checkMemory(blueprint, memoryBytes, calibration, { measures: budget, dampings })
}
