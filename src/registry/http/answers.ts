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
export type OciErrorCode =
  | 'BLOB_UNKNOWN'
  | 'BLOB_UPLOAD_INVALID'
  | 'BLOB_UPLOAD_UNKNOWN'
  | 'DENIED'
  | 'DIGEST_INVALID'
  | 'MANIFEST_BLOB_UNKNOWN'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'SIZE_INVALID'
  | 'TAG_INVALID'
  | 'UNAUTHORIZED'
  | 'UNSUPPORTED'

/** An error as OCI clients read it. */
export function ociError(
  context: HttpContext,
  status: 400 | 401 | 403 | 404 | 405 | 413,
  code: OciErrorCode,
  message: string,
): Response {
  return context.json({ errors: [{ code, message }] }, status)
}
