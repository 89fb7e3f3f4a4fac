import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { writeSafetensors } from '../../../../formats/safetensors/index.js'
import { makeBlueprint } from '../../../../src/model/index.js'
import { smallTensor } from '../../../support/checkpoints.js'

it("says what Mixtral in Mistral's own form is, and which class can be converted", async () => {
  const folder = await mkdtemp(join(tmpdir(), 'mq-mistral-form-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const params = {
    dim: 32,
    n_layers: 1,
    n_heads: 2,
    hidden_dim: 64,
    vocab_size: 64,
    moe: { num_experts: 8, num_experts_per_tok: 2 },
  }
  await writeFile(join(folder, 'params.json'), JSON.stringify(params))
  await writeSafetensors(join(folder, 'consolidated.safetensors'), [smallTensor('tok_embeddings.weight', 'BF16', [64, 32])])
  await expect(makeBlueprint(folder)).rejects.toMatchObject({
    code: 'ARCHITECTURE_UNKNOWN',
    message: expect.stringMatching(/params\.json has the architecture mixture of experts of params\.json \(Mixtral\)/) as string,
    suggestion: expect.stringContaining('MixtralForCausalLM') as string,
  })
})
