import * as v from 'valibot'
import type { WithProgress } from '../../../progress/index.js'
import type { UnitResult, UnitTask } from '../executor.js'
import type { InProcessOptions } from '../in-process.js'

const hash = v.object({ algorithm: v.picklist(['sha256', 'git-sha1']), value: v.string() })
const fetchOptions = v.object({ files: v.array(v.object({ path: v.string(), sizeBytes: v.number(), hash })) })

/**
 * Fetches files of a hub, from the endpoint and with the token of this machine: HF_ENDPOINT, HF_TOKEN.
 * @throws what fetchListed throws.
 */
export async function* runFetch(
  { unit, origin, folder }: UnitTask,
  { signal }: Pick<InProcessOptions, 'signal'>,
): WithProgress<UnitResult> {
  const { files } = v.parse(fetchOptions, unit.options)
  // Loaded here: most units have no use for a network.
  const { fetchListed } = await import('../../../hub/index.js')
  const { repo = '', commit = '' } = origin ?? {}
  yield* fetchListed({ repo, commit, files }, folder, { signal })
  return { files: files.map(({ path }) => path), result: null }
}
