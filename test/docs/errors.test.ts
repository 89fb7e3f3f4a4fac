import { expect, test } from 'vitest'
import { advice } from '../../commands/shared/advice.js'
import { errorTable, exitStatus } from '../../src/errors/index.js'

const explain: Record<keyof typeof exitStatus, string> = {
  usage: 'the command line asks for something that cannot be',
  input: 'the input is not what it should be',
  environment: 'the machine does not give what is needed: disk, permission, a program',
  gate: 'a gate was not passed',
  network: 'a hub or registry does not answer as it should',
  interrupted: 'Ctrl-C',
}

/** What commands suggest; a script gets the suggestion of the table. */
const adviceOf = (code: string): readonly string[] => {
  const { suggestion } = errorTable[code as keyof typeof errorTable]
  return advice[code as keyof typeof advice] ?? [suggestion]
}

test('docs/errors.md says what src/errors/error-table.ts and commands/shared/advice.ts do (npx vitest -u writes it)', async () => {
  const lines = [
    '# Errors',
    '',
    'Every error is one line on stderr, `mq: CODE: what was wrong. What to do.`, or with `--json` an object',
    '`{"error": {code, message, suggestion, details}}` on stdout. `MQ_DEBUG=1` adds where it came from.',
    '',
    '| exit status | meaning |',
    '|---|---|',
    ...Object.entries(exitStatus).map(([name, status]) => `| ${status} | ${explain[name as keyof typeof exitStatus]} |`),
    '',
    '| code | exit status | message | what to do |',
    '|---|---|---|---|',
    ...Object.entries(errorTable).map(
      ([code, { exit, message }]) =>
        `| \`${code}\` | ${exitStatus[exit]} | ${message.replaceAll('|', '\\|')} | ${adviceOf(code).join(' *Or:* ').replaceAll('|', '\\|')} |`,
    ),
    '',
  ]
  await expect(lines.join('\n')).toMatchFileSnapshot('../../docs/errors.md')
})

test('every message is a sentence that ends, and so is every suggestion', () => {
  for (const [code, { message, suggestion }] of Object.entries(errorTable)) {
    expect(message, code).toMatch(/\.$|\)\.$/)
    for (const text of [suggestion, ...adviceOf(code)]) expect(text, code).toMatch(/\.$/)
  }
})
