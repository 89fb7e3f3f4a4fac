import { MqError } from '../../errors/index.js'
import { combine, sameShape, showShape } from '../../recipe/index.js'
import { changeOf, type ExpertFactors, expertDelta, expertsChange, type Orientation } from './deltas.js'
import type { AdaptedModule, Adapter } from './open-adapter.js'
import { mismatch, push, shapeNow, type Work } from './work.js'

/** The order in which modules of experts have their parameters: wrappers of later ones stand around those of earlier ones. */
const parameterOrder = ['gate_up_proj', 'gate_proj', 'w1', 'up_proj', 'w3', 'w13', 'down_proj', 'w2']

/** Takes up a change of the matrices of all experts in one parameter; true where a name is that of such. */
export function takeExperts(work: Work, adapter: Adapter, file: number, name: string, module: AdaptedModule): boolean {
  const owner = name.replace(/(?:\.base_layer)+$/, '')
  const depth = (name.length - owner.length) / '.base_layer'.length
  const parameters = adapter.config.targetParameters
    .filter((target) => `${owner}.`.endsWith(`.${target.slice(0, target.lastIndexOf('.') + 1)}`))
    .map((target) => target.slice(target.lastIndexOf('.') + 1))
    .toSorted((one, other) => parameterOrder.indexOf(one) - parameterOrder.indexOf(other))
  const parameter = parameters[parameters.length - 1 - depth]
  if (parameter === undefined) return false
  const { names } = work
  const stored = names.find(`${owner}.${parameter}`) ?? names.find(`${owner}.${parameter}.weight`)
  if (stored === undefined) return takeSeparateExperts(work, adapter, file, owner, parameter, module)
  const shape = shapeNow(work, stored) ?? []
  const [experts = 1, first = 0, second = 0] = shape.length === 3 ? shape : [1, ...shape]
  const factors = expertFactors(adapter, file, `${owner}.${parameter}`, module, experts)
  const [outputs, inputs] = [module.b.shape[0], module.a.shape[1]]
  const possible = (['outputs', 'inputs'] as const).filter((orientation) =>
    sameShape([first, second], (orientation === 'outputs' ? [outputs, inputs] : [inputs, outputs]) as number[]),
  )
  if (factors === undefined || possible.length === 0) {
    const made = `${module.b.shape[0]} outputs and ${module.a.shape[1]} inputs`
    throw mismatch(
      work,
      adapter,
      `its change of ${owner}.${parameter} has ${made}, and the tensor ${stored} has the shape ${showShape(shape)}`,
    )
  }
  const orientation = possible.length === 1 ? possible[0] : expertOrientation(work, owner)
  if (orientation === undefined) {
    throw MqError.of('ADAPTER_UNSUPPORTED', {
      file: adapter.file,
      kind: `a LoRA of the experts ${stored}, whose shape ${showShape(shape)} does not tell inputs from outputs`,
      advice: 'Merge it into the model with merge_and_unload() of peft, save that, and convert the folder',
    })
  }
  push(
    work,
    stored,
    shape.length === 3 ? expertsChange(factors, orientation) : changeOf(module, factors.scaling, file, orientation),
  )
  return true
}

function expertFactors(
  adapter: Adapter,
  file: number,
  key: string,
  module: AdaptedModule,
  experts: number,
): ExpertFactors | undefined {
  const rank = (module.a.shape[0] ?? 0) / experts
  if (!Number.isInteger(rank) || rank === 0) return undefined
  return { module, experts, file, scaling: adapter.config.scalingOf(key, rank) * adapter.scale }
}

/** Of matrices that are square, the way the gate and up-projections beside them lie. */
function expertOrientation(work: Work, owner: string): Orientation | undefined {
  const both = work.names.find(`${owner}.gate_up_proj`) ?? work.names.find(`${owner}.gate_up_proj.weight`)
  const shape = both === undefined ? undefined : work.base.shapeOf(both)
  const hidden = Number(work.base.config['hidden_size'])
  if (shape?.length !== 3 || shape[1] === shape[2]) return undefined
  return shape[2] === hidden ? 'outputs' : shape[1] === hidden ? 'inputs' : undefined
}

/** The checkpoint's names of one expert's matrices, where transformers has those of all in one. */
const separateNames: Readonly<Record<string, readonly (readonly string[])[]>> = {
  gate_up_proj: [
    ['gate_proj', 'up_proj'],
    ['w1', 'w3'],
  ],
  down_proj: [['down_proj'], ['w2']],
}

function takeSeparateExperts(
  work: Work,
  adapter: Adapter,
  file: number,
  owner: string,
  parameter: string,
  module: AdaptedModule,
): boolean {
  const owners = [owner, owner.replace(/\.mlp\.experts$/, '.block_sparse_moe.experts')]
  const found = (separateNames[parameter] ?? [])
    .flatMap((parts) => owners.map((place) => ({ parts, place })))
    .find(({ parts, place }) => work.names.find(`${place}.0.${parts[0]}.weight`) !== undefined)
  if (found === undefined) return false
  const { parts, place } = found
  let experts = 0
  while (work.names.find(`${place}.${experts}.${parts[0]}.weight`) !== undefined) experts++
  const factors = expertFactors(adapter, file, `${owner}.${parameter}`, module, experts)
  const height = (module.b.shape[0] ?? 0) / parts.length
  if (factors === undefined) throw mismatch(work, adapter, `its change of ${owner}.${parameter} is not one of ${experts} experts`)
  for (let expert = 0; expert < experts; expert++) {
    for (const [index, part] of parts.entries()) {
      const stored = work.names.find(`${place}.${expert}.${part}.weight`)
      const shape = stored === undefined ? undefined : shapeNow(work, stored)
      if (stored === undefined || shape === undefined || !sameShape(shape, [height, module.a.shape[1] ?? 0])) {
        const problem = `its change of ${owner}.${parameter} does not fit ${place}.${expert}.${part}.weight ${shape === undefined ? '' : showShape(shape)}`
        throw mismatch(work, adapter, problem.trim())
      }
      const delta = expertDelta(
        factors,
        expert,
        'outputs',
        parts.length === 1 ? undefined : [index * height, (index + 1) * height],
      )
      push(work, stored, (current) => combine('sum', current, delta))
    }
  }
  return true
}
