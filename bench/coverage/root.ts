import { fileURLToPath } from 'node:url'

/** The project's folder, with a slash at its end: this file is run from bench/coverage and from dist/bench/coverage. */
export const projectRoot = fileURLToPath(new URL('.', import.meta.url)).replace(/(?:dist\/)?bench\/coverage\/$/, '')
