import { describe, expect, it } from 'vitest'
import { buffersOf, placeOnGpu, shapeOrRefuse } from '../../../src/footprint/index.js'
import { makeBlueprint } from '../../../src/model/convert/index.js'
import { planType } from '../../../src/plan/allocate/index.js'

async function placed(sample: string, gpuBytes: number) {
  const blueprint = await makeBlueprint(sample)
  const shape = shapeOrRefuse(blueprint)
  const { tensors } = planType(blueprint, 'Q8_0')
  return placeOnGpu(blueprint, tensors, shape, buffersOf(shape, { context: 512 }), gpuBytes)
}

/** llama.cpp's expression for the routed experts of its --cpu-moe: common/common.h, v0.5.0. */
const experts = /\.ffn_(up|down|gate|gate_up)_(ch|)exps/

describe('placeOnGpu', () => {
  it('puts all on the GPU where there is room', async () => {
    expect(await placed('samples/deepseek-kjv-moe', 1e9)).toMatchObject({ flags: '-ngl all', gpuLayers: 5, cpuExpertLayers: 0 })
  })

  it('leaves as few routed experts behind as it must, and names the same ones both ways', async () => {
    const blueprint = await makeBlueprint('samples/deepseek-kjv-moe')
    const all = (await placed('samples/deepseek-kjv-moe', 1e9))?.gpuBytes ?? 0
    let before = -1
    for (let gpuBytes = all; ; gpuBytes -= 50_000) {
      const found = await placed('samples/deepseek-kjv-moe', gpuBytes)
      if (found === undefined || found.gpuLayers < 5) break
      expect(found.gpuBytes).toBeLessThanOrEqual(gpuBytes)
      expect(found.cpuExpertLayers).toBeGreaterThanOrEqual(before)
      before = found.cpuExpertLayers
      if (found.cpuExpertLayers === 0) continue
      expect(found.flags).toBe(
        found.cpuExpertLayers === 4 ? '-ngl all --cpu-moe' : `-ngl all --n-cpu-moe ${found.cpuExpertLayers}`,
      )
      const pattern = new RegExp(/^-ot "(.*)=CPU"$/.exec(found.override ?? '')?.[1] ?? 'none')
      for (const { name, layer = 99 } of blueprint.tensors) {
        expect(pattern.test(name), `${pattern} ${name}`).toBe(experts.test(name) && layer < found.cpuExpertLayers)
      }
    }
    expect(before).toBe(4)
  })

  it('leaves whole layers of a dense model behind, and gives up below one', async () => {
    const found = await placed('samples/llama-kjv', 12e6)
    expect(found?.flags).toMatch(/^-ngl [1-4]$/)
    expect(await placed('samples/llama-kjv', 1e6)).toBeUndefined()
  })
})
