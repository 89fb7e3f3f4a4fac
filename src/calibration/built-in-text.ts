import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/**
 * The built-in calibration text, for users without one of their own: prose, reference works, dialogue, mathematics, code
 * in several languages, and some thirty natural languages. See samples/calibration/README.md.
 */
export const builtInText = join(
  dirname(createRequire(import.meta.url).resolve('#package.json')),
  'samples/calibration/mq-general.txt',
)
