import { type Command, CommandHelp, Help } from '@oclif/core'

/** Help of one command: the usage line names arguments and required flags only, and the text of every flag ends with its default. */
class MqCommandHelp extends CommandHelp {
  protected override defaultUsage(): string {
    const { args, flags } = this.command
    const dots = this.command.strict === false ? '...' : ''
    const operands = Object.values(args).map(({ name, required }) => {
      const word = `${name.toUpperCase()}${dots}`
      return required === true ? word : `[${word}]`
    })
    const required = Object.values(flags)
      .filter((flag) => flag.required === true)
      .map((flag) => `${flag.char === undefined ? `--${flag.name}` : `-${flag.char}`} ${helpValueOf(flag)}`)
    return ['<%= command.id %>', ...operands, ...required, '[FLAGS]'].join(' ')
  }

  protected override flags(flags: Command.Flag.Any[]): [string, string | undefined][] | undefined {
    return super.flags(flags.map(withDefaultLast))
  }
}

function helpValueOf(flag: Command.Flag.Any): string {
  return flag.type === 'option' ? String(flag.helpValue ?? '') : ''
}

/** oclif puts defaults before the text. */
function withDefaultLast(flag: Command.Flag.Any): Command.Flag.Any {
  if (flag.type === 'boolean' || flag.default === undefined) return flag
  const { default: value, description = '', ...rest } = flag
  return { ...rest, description: `${description} [default: ${String(value)}]` }
}

/** The help of mq: see `helpClass` in package.json. */
export default class MqHelp extends Help {
  protected override CommandHelpClass = MqCommandHelp
}
