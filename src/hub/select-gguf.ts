import { parseShardName } from '../../formats/gguf/index.js'

const defaultTags = ['Q4_K_M', 'Q8_0']
/** Files beside a model that are none: projectors, importance matrices, draft models. */
const companion = /mmproj|imatrix|mtp-|eagle3-|dflash-|dspark-/

/**
 * The GGUF file that llama.cpp takes for a tag, with all its shards: the first whose path matches `TAG[.-]` in any case; without a tag
 * Q4_K_M, then Q8_0, then the first model. Empty where there is none. Source: find_best_model, common/download.cpp, llama.cpp v0.5.0.
 * @param paths in the order in which the hub lists them.
 */
export function selectGguf(paths: readonly string[], tag?: string): string[] {
  const models = paths.filter(isModel)
  const starts = models.filter((path) => (parseShardName(path)?.index ?? 0) === 0)
  const tags = tag === undefined ? defaultTags : [tag]
  const tagged = tags.flatMap((wanted) => starts.filter((path) => tagPattern(wanted).test(path)))
  const first = tagged[0] ?? (tag === undefined ? starts[0] : undefined)
  return first === undefined ? [] : shardsOf(first, models)
}

function isModel(path: string): boolean {
  const name = path.slice(path.lastIndexOf('/') + 1)
  return name.endsWith('.gguf') && !companion.test(name)
}

function tagPattern(tag: string): RegExp {
  return new RegExp(`${tag.replaceAll('.', '\\.')}[.-]`, 'i')
}

function shardsOf(first: string, paths: readonly string[]): string[] {
  const shard = parseShardName(first)
  if (shard === undefined) return [first]
  return paths.filter((path) => {
    const other = parseShardName(path)
    return other?.stem === shard.stem && other.count === shard.count
  })
}
