#!/usr/bin/env node
// Writes oclif.manifest.json from the compiled commands, so that `mq` starts without loading them all.
// With --check it writes nothing and fails where the file has drifted from the commands.
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { Plugin } from '@oclif/core'

const root = fileURLToPath(new URL('..', import.meta.url))
const file = `${root}/oclif.manifest.json`
const plugin = new Plugin({ root, type: 'core', ignoreManifest: true, errorOnManifestCreate: true, respectNoCacheDefault: true })
await plugin.load()
// Commands come in the order in which the system lists folders, which differs from one machine to another.
const commands = Object.fromEntries(Object.entries(plugin.manifest.commands).toSorted(([a], [b]) => (a < b ? -1 : 1)))
const manifest = `${JSON.stringify({ ...plugin.manifest, commands }, null, 2)}\n`

if (!process.argv.includes('--check')) {
  await writeFile(file, manifest)
} else if ((await readFile(file, 'utf8').catch(() => '')) !== manifest) {
  process.stderr.write('oclif.manifest.json is not what the commands say: run `npm run manifest` and commit it.\n')
  process.exitCode = 1
}
