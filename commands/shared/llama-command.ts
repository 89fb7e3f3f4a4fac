import { MqCommand } from '../base-command.js'

/** Flags of llama.cpp's programs that are longer than a letter behind one dash. */
const shortFlags: Readonly<Record<string, string>> = {
  '-ngl': '--gpu-layers',
  '-ncmoe': '--n-cpu-moe',
  '-cmoe': '--cpu-moe',
  '-ctk': '--cache-type-k',
  '-ctv': '--cache-type-v',
  '-fa': '--flash-attn',
  '-np': '--parallel',
  '-sys': '--system-prompt',
  '-pg': '--prompt-and-gen',
}

/** Base class of commands that run llama.cpp: they take its flags as they are written there, such as `-ngl 99`. */
export abstract class LlamaCommand extends MqCommand {
  override async init(): Promise<void> {
    const end = this.argv.indexOf('--')
    this.argv = this.argv.map((word, index) => (end >= 0 && index > end ? word : (shortFlags[word] ?? word)))
    await super.init()
  }
}
