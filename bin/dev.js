#!/usr/bin/env node
// The command line over freshly compiled sources, with oclif's development errors.
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { execute } from '@oclif/core'

execFileSync('npm', ['run', '--silent', 'build'], { cwd: fileURLToPath(new URL('..', import.meta.url)), stdio: 'inherit' })
await execute({ development: true, dir: import.meta.url })
