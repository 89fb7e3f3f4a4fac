import { Args, Flags } from '@oclif/core'
import { type Examination, examinationText, examine } from '../src/doctor/index.js'
import { MqCommand } from './base-command.js'

export default class Doctor extends MqCommand {
  static override summary = 'Show what models run on here: processor, memory, GPUs, builds of llama.cpp.'
  static override description =
    'With a model it measures the speed of its disk, past the cache where the system allows that, and says what speed to expect where the model is larger than memory.'
  static override examples = ['<%= config.bin %> doctor', '<%= config.bin %> doctor model.gguf --llama-dir /opt/llama.cpp/bin']

  static override args = { model: Args.string({ description: 'A .gguf file to read from. [default: none]' }) }

  static override flags = {
    'llama-dir': Flags.string({
      helpValue: 'DIR',
      description: 'Folder of llama.cpp programs to look at. [default: search $PATH]',
    }),
  }

  override async run(): Promise<Examination> {
    const { args, flags } = await this.parse(Doctor)
    const found = await examine({ model: args.model, llamaDirectory: flags['llama-dir'], signal: this.signal })
    this.log(examinationText(found))
    return found
  }
}
