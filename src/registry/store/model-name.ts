import { MqError } from '../../errors/index.js'

/** Name of a model in a registry: `kjv/llama:Q4_K_M`. */
export interface ModelName {
  readonly namespace: string
  readonly name: string
  readonly tag?: string
}

// Runs of letters and digits with single separators: accepted by OCI, Hugging Face and llama.cpp, except for upper case.
const componentPattern = /^[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$/
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/
const commitPattern = /^[0-9a-f]{40}$/
const longestComponent = 96

/** First path segments with another meaning in the HTTP APIs. */
const reservedNamespaces = new Set(['api', 'v2', 'models', 'datasets', 'spaces', 'buckets', 'repos'])

/**
 * Reads `NAMESPACE/NAME` or `NAMESPACE/NAME:TAG`.
 * Only letters, digits and single separators are accepted, so a name cannot lead out of the registry's folder.
 * @throws MqError NAME_INVALID.
 */
export function parseModelName(text: string): ModelName {
  const invalid = (problem: string): MqError => MqError.of('NAME_INVALID', { name: text.slice(0, 200), problem })
  const [repository = '', tag, ...rest] = text.split(':')
  if (rest.length > 0) throw invalid('there is more than one ":"')
  const [namespace = '', name = '', ...deeper] = repository.split('/')
  if (name === '' || deeper.length > 0) throw invalid('it needs one "/", between namespace and name')
  for (const component of [namespace, name]) {
    if (component.length > longestComponent) throw invalid(`a part is longer than ${longestComponent} characters`)
    if (!componentPattern.test(component)) throw invalid('its parts are letters and digits, with single ".", "_" or "-" between')
  }
  if (reservedNamespaces.has(namespace.toLowerCase())) throw invalid(`"${namespace}" is part of the registry's own addresses`)
  if (/\.git$/i.test(name)) throw invalid('".git" at the end means something else to Hugging Face clients')
  if (tag === undefined) return { namespace, name }
  checkTag(tag, invalid)
  return { namespace, name, tag }
}

/** Returns `NAMESPACE/NAME` of a name, without its tag. */
export function repositoryOf({ namespace, name }: ModelName): string {
  return `${namespace}/${name}`
}

/** Returns whether a revision has the form of a commit: 40 hexadecimal digits. */
export function isCommit(revision: string): boolean {
  return commitPattern.test(revision)
}

function checkTag(tag: string, invalid: (problem: string) => MqError): void {
  if (!tagPattern.test(tag))
    throw invalid('a tag has up to 128 letters, digits, ".", "_" or "-", and begins with none of ".", "-"')
  if (isCommit(tag.toLowerCase())) throw invalid('a tag of 40 hexadecimal digits would read as a commit')
}
