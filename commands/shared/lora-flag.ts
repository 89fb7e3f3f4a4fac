import { Flags } from '@oclif/core'

/** Flag of all commands that read a checkpoint. @param what it is merged into. */
export const loraFlag = (what = 'the checkpoint') =>
  Flags.string({
    multiple: true,
    multipleNonGreedy: true,
    helpValue: 'DIR[:SCALE]',
    description: `LoRA adapter of peft (a folder, or its adapter_model.safetensors) to merge into ${what} while it is read; :0.5 behind it halves its changes. May be given several times: they are merged in order. [default: none]`,
  })
