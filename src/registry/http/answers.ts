import type { HttpBindings } from '@hono/node-server'
import type { Context } from 'hono'

/** What a handler sees: a request of Node's HTTP server. */
export type HttpContext = Context<{ Bindings: HttpBindings }>

/** Values of X-Error-Code, by which Hugging Face clients tell one 404 from another. Source: huggingface_hub, utils/_http.py. */
export type HubErrorCode = 'RepoNotFound' | 'RevisionNotFound' | 'EntryNotFound'

/** An error as Hugging Face clients read it. */
export function hubError(context: HttpContext, code: HubErrorCode, message: string): Response {
  return context.json({ error: message }, 404, { 'X-Error-Code': code, 'X-Error-Message': message })
}

/** Error codes of the OCI distribution specification. */
export type OciErrorCode = 'NAME_UNKNOWN' | 'MANIFEST_UNKNOWN' | 'BLOB_UNKNOWN'

/** An error as OCI clients read it. */
export function ociError(context: HttpContext, code: OciErrorCode, message: string): Response {
  return context.json({ errors: [{ code, message }] }, 404)
}
