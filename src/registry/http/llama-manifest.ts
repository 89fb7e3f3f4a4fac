import { parseShardName } from '../../../formats/gguf/index.js'
import { selectGguf } from '../../hub/index.js'
import { type ModelName, repositoryOf, type Snapshot } from '../store/index.js'
import { type HttpContext, ociError } from './answers.js'
import type { Services } from './services.js'

/** Returns whether the client is llama.cpp from before 2026, which requested a manifest for the names of files. */
export function isOldLlama(context: HttpContext): boolean {
  return context.req.header('user-agent')?.startsWith('llama-cpp') === true
}

/**
 * Makes the manifest for older versions of llama.cpp: the first file of the model and its projector, which they then fetch from `main`.
 * A tag that exists wins; else the tag is looked for in the names of files, as the hub does; `latest`, which they send where no tag was
 * given, is the default of newer versions. Source: common_get_hf_file, common/arg.cpp, llama.cpp b5000 to b7000.
 */
export async function llamaManifest(context: HttpContext, services: Services, model: ModelName, tag: string): Promise<Response> {
  const { catalog } = services
  const entry = await catalog.find(model.namespace, model.name)
  const snapshot = entry && (catalog.revision(entry, tag) ?? sameTag(entry.tags, tag))
  const isDefault = tag === 'latest' && snapshot === undefined
  const files = (snapshot ?? entry?.main)?.files ?? []
  const paths = files.map(({ path }) => path)
  const [first] = selectGguf(paths, snapshot !== undefined || isDefault ? undefined : tag)
  if (entry === undefined || first === undefined) {
    const message = `there is no GGUF ${tag.slice(0, 200)} of ${repositoryOf(model)}`
    return ociError(context, 404, 'MANIFEST_UNKNOWN', message)
  }
  const projector = paths.find((path) => /mmproj[^/]*\.gguf$/i.test(path) && (parseShardName(path)?.index ?? 0) === 0)
  const described = (path: string): object => {
    const file = files.find((candidate) => candidate.path === path)
    return { rfilename: path, blobId: file?.digest, size: file?.sizeBytes }
  }
  return context.json({
    schemaVersion: 2,
    ggufFile: described(first),
    ...(projector !== undefined && { mmprojFile: described(projector) }),
  })
}

/** Finds a tag whatever its case, as llama.cpp does. */
function sameTag(tags: ReadonlyMap<string, Snapshot>, wanted: string): Snapshot | undefined {
  return [...tags].find(([tag]) => tag.toLowerCase() === wanted.toLowerCase())?.[1]
}
