import { MqError } from '../errors/index.js'

/** What to pull: `ns/name`, with `:tag` for a GGUF and `@revision` for a branch, tag or commit. */
export interface RemoteName {
  readonly repo: string
  readonly tag?: string
  readonly revision?: string
}

const component = /^(?!.*\.\.)[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?$/
const revisionPattern = /^(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9._/-]{0,199}$/
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/

/** Reads `NS/NAME[:TAG][@REVISION]`; old hub names without a namespace pass too. @throws MqError NAME_INVALID. */
export function parseRemoteName(text: string): RemoteName {
  const invalid = (problem: string): MqError => MqError.of('NAME_INVALID', { name: text.slice(0, 200), problem })
  const [named = '', revision, ...more] = text.split('@')
  const [repo = '', tag, ...rest] = named.split(':')
  const parts = repo.split('/')
  if (more.length > 0 || rest.length > 0 || parts.length > 2 || !parts.every((part) => component.test(part))) {
    throw invalid('it is not NAMESPACE/NAME, with :TAG or @REVISION after it')
  }
  if (revision !== undefined && !revisionPattern.test(revision)) throw invalid('its revision has characters that no branch has')
  if (tag !== undefined && !tagPattern.test(tag)) throw invalid('its tag has characters that no tag has')
  return { repo, tag, revision }
}
