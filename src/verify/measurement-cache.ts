import { createHash } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { keepNewest, type Text, writeWhole } from '../files/index.js'
import { llamaVersion } from '../runner/index.js'
import type { BaseLogits } from './base-logits.js'
import { type Measured, textOf } from './measurement.js'
import { referenceOf } from './reference.js'
import { reportJson } from './report.js'
import { measurement, reference, textMeasured } from './schema.js'

/** A measurement as it is kept in a file. */
export const entrySchema = v.object({ version: v.literal(1), measurement, reference, text: textMeasured, llamaCpp: v.string() })

/** A measurement with what it was made from. */
export type CachedMeasurement = Omit<v.InferOutput<typeof entrySchema>, 'version'>

/** A measurement as it is kept. */
export function entryOf(text: Pick<Text, 'name' | 'sha256'>, base: BaseLogits, measured: Measured): CachedMeasurement {
  const { measurement, reference: likelihoods } = measured
  return {
    measurement,
    reference: referenceOf(base, likelihoods),
    text: textOf(text, measured),
    llamaCpp: llamaVersion,
  }
}

/** All that a measurement depends on. */
export interface MeasurementIdentity {
  /** Digests of the model's files, and of the reference's. */
  readonly model: readonly string[]
  readonly reference: readonly string[]
  /** Digest of the text. */
  readonly text: string
  /** undefined: as the file of base logits has it. */
  readonly contextLength: number | undefined
  readonly chunks: number | undefined
  /** Version of llama.cpp. */
  readonly llamaCpp: string
}

/** Measurements in a folder, by digests of what they were made from: a file that was moved or renamed is known again. The newest are kept. */
export interface MeasurementCache {
  /** undefined where it was never measured, or what is there is damaged. */
  find(identity: MeasurementIdentity): Promise<CachedMeasurement | undefined>
  /** @throws MqError FILE_UNWRITABLE, DISK_FULL. */
  keep(identity: MeasurementIdentity, entry: CachedMeasurement): Promise<void>
}

/** Some tens of kilobytes each. */
const maxFiles = 1000

/** A cache of measurements in a folder, which is made when something is kept. */
export function measurementCache(folder: string): MeasurementCache {
  const pathOf = ({ model, reference: base, text, contextLength, chunks, llamaCpp }: MeasurementIdentity): string => {
    const words = JSON.stringify([1, model, base, text, contextLength ?? null, chunks ?? null, llamaCpp])
    return join(folder, `${createHash('sha256').update(words).digest('hex')}.json`)
  }
  return {
    async find(identity) {
      try {
        return v.parse(entrySchema, JSON.parse(await readFile(pathOf(identity), 'utf8')))
      } catch {
        return undefined
      }
    },
    async keep(identity, entry) {
      await mkdir(folder, { recursive: true }).catch(() => {})
      await writeWhole(pathOf(identity), reportJson({ version: 1, ...entry }))
      await keepNewest(folder, maxFiles, '.json').catch(() => {})
    },
  }
}
