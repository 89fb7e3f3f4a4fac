import { Args, Flags } from '@oclif/core'
import {
  defaultRegistryDirectory,
  type Published,
  type PublishedToTarget,
  publish,
  publishToTarget,
} from '../src/registry/index.js'
import { formatBytes } from '../src/terminal/index.js'
import { MqCommand } from './base-command.js'
import { registryFlag } from './shared/registry-flag.js'

export default class Publish extends MqCommand {
  static override summary = 'Publish a model to the local registry, to another program, to a hub, or into a folder.'
  static override description =
    `Loads a GGUF with llama.cpp to check it, stores its files by SHA-256 digest, and sets the tag; the tag changes only when everything is stored.
A report of \`mq verify\` next to the model (MODEL.verify.json) and a plan (MODEL.plan.json) are attached. If the report belongs to another file, or one of its gates failed, the model is not published. The publication notes the digests of source, plan, calibration and reference, as far as they are known, and the version of mq.
With --to, files go elsewhere, with a model card and SHA256SUMS: "ollama" (its running server, else its folder of models), "lmstudio", "text-generation-webui", "llama-server" (a folder or .ini of its router), hf:NAMESPACE/NAME (a Hugging Face hub, $HF_ENDPOINT), or a folder.`
  static override examples = [
    '<%= config.bin %> publish llama-Q4_K_M.gguf kjv/llama:Q4_K_M',
    '<%= config.bin %> publish samples/llama-kjv kjv/llama',
    '<%= config.bin %> publish model-00001-of-00003.gguf kjv/llama --registry /srv/models',
    '<%= config.bin %> publish llama-Q4_K_M.gguf kjv/llama:Q4_K_M --to ollama',
    '<%= config.bin %> publish llama-Q4_K_M.gguf kjv/llama:Q4_K_M --to hf:me/llama-GGUF --made-from samples/llama-kjv',
  ]

  static override args = {
    model: Args.string({
      required: true,
      description: 'A .gguf file, any shard of a split model, or a checkpoint folder.',
    }),
    name: Args.string({
      required: true,
      description:
        'NAMESPACE/NAME[:TAG]. Default tag: the file type of the GGUF, such as Q4_K_M; "main" for a checkpoint folder.',
    }),
  }

  static override flags = {
    ...registryFlag,
    to: Flags.string({
      helpValue: 'TARGET',
      description: 'Publish to a program, a hub or a folder instead of the registry. [default: the registry]',
      exclusive: ['registry'],
    }),
    'to-dir': Flags.string({
      helpValue: 'DIR',
      description: "The program's folder of models (for llama-server: or an .ini of presets). [default: its usual place]",
      dependsOn: ['to'],
    }),
    report: Flags.string({
      helpValue: 'FILE',
      description: 'Report of `mq verify` to attach. [default: MODEL.verify.json, if it exists]',
    }),
    plan: Flags.string({
      helpValue: 'FILE',
      description: 'Plan that the model was quantized by, to attach. [default: MODEL.plan.json, if it exists]',
    }),
    'made-from': Flags.string({
      helpValue: 'PATH',
      description: 'Checkpoint or GGUF that the model was made from: its digest is noted. [default: unknown]',
    }),
    license: Flags.string({
      helpValue: 'ID',
      description: 'License for the model card, such as apache-2.0. [default: as the source says]',
      dependsOn: ['to'],
    }),
    'base-model': Flags.string({
      helpValue: 'NAME',
      description: 'Base model for the model card. [default: as the source says]',
      dependsOn: ['to'],
    }),
    check: Flags.boolean({ default: true, allowNo: true, description: 'Load a GGUF with llama.cpp first. [default: on]' }),
    force: Flags.boolean({
      description: 'Publish even if the report does not match the model, and replace a damaged list of tags or other files.',
    }),
  }

  override async run(): Promise<Published | PublishedToTarget> {
    const { args, flags } = await this.parse(Publish)
    const { report, plan, force, check, to } = flags
    const shared = {
      source: await this.local(args.model),
      name: args.name,
      report,
      plan,
      madeFrom: flags['made-from'],
      check,
      force,
    }
    if (to !== undefined) {
      const { license } = flags
      const target = { ...shared, to, directory: flags['to-dir'], license, baseModel: flags['base-model'], signal: this.signal }
      const published = await this.follow(publishToTarget(target))
      const { name, place, files, sizeBytes } = published
      this.log(`${name}  ${formatBytes(sizeBytes)}, in ${place}`)
      for (const file of files) this.log(`  ${file}`)
      return published
    }
    const registry = flags.registry ?? defaultRegistryDirectory()
    const published = await this.follow(publish({ ...shared, registry, signal: this.signal }))
    const verified = published.verified ? ', verified' : ''
    this.log(`${published.name}  ${published.files.length} files, ${formatBytes(published.sizeBytes)}${verified}`)
    this.log(published.digest)
    return published
  }
}
