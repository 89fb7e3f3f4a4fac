import { MqError } from '../errors/index.js'

/** What is asked for, in the words of an error. */
export interface Asked {
  /** The hub's address. */
  readonly endpoint: string
  /** `NS/NAME`, with `@REVISION`. */
  readonly repo: string
}

/**
 * The error for an answer of a hub that is none of success. It says which of these it is: no such repository, no permission (a gated
 * repository, a token that is not accepted), or something else.
 */
export function refusal({ endpoint, repo }: Asked, { status, headers }: Response): MqError {
  const code = headers.get('x-error-code') ?? ''
  const missing = status === 404 || code === 'RepoNotFound' || code === 'RevisionNotFound'
  if (missing) return MqError.of('REPO_MISSING', { url: endpoint, repo })
  if (status === 401 || status === 403 || code === 'GatedRepo') {
    return MqError.of('ACCESS_DENIED', { url: endpoint, repo, problem: said(headers) ?? `HTTP ${status}` })
  }
  return MqError.of('HUB_ANSWER_INVALID', { url: endpoint, problem: `HTTP ${status}` })
}

/** What the hub says for people to read: bounded, and without what a terminal would obey. */
function said(headers: Headers): string | undefined {
  const text = headers
    .get('x-error-message')
    ?.replaceAll(/[^\x20-\x7E]/g, '?')
    .trim()
    .slice(0, 300)
  return text?.replace(/\.$/, '') || undefined
}
