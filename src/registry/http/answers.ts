import type { HttpBindings } from '@hono/node-server'
import type { Context } from 'hono'
import { MqError } from '../../errors/index.js'
import { type ModelName, parseModelName } from '../store/index.js'

/** State of a request: Node's own objects, and the read permission of its sender. */
export interface AppEnv {
  Bindings: HttpBindings
  Variables: {
    /** Whether models of a namespace may be read. */
    mayRead: (namespace: string) => boolean
  }
}

/** Context of a request handler on Node's HTTP server. */
export type HttpContext = Context<AppEnv>

/** Values of X-Error-Code, by which Hugging Face clients distinguish kinds of 404. Source: huggingface_hub, utils/_http.py. */
export type HubErrorCode = 'RepoNotFound' | 'RevisionNotFound' | 'EntryNotFound'

/** Makes an error response for Hugging Face clients. */
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

/** Makes an error response for OCI clients. */
export function ociError(
  context: HttpContext,
  status: 400 | 401 | 403 | 404 | 405 | 413,
  code: OciErrorCode,
  message: string,
): Response {
  return context.json({ errors: [{ code, message }] }, status)
}

/** Makes the response to a Hugging Face client without write permission. */
export function denied(context: HttpContext, status: 401 | 403): Response {
  const error =
    status === 401
      ? 'Writing needs a token of this registry that may write, made with `mq registry token create`.'
      : 'The token may not write here.'
  return context.json({ error }, status, { 'X-Error-Message': error })
}

/** Parses a model name from a request. @returns undefined where it is invalid. */
export function modelOf(name: string, tag?: string): ModelName | undefined {
  try {
    return parseModelName(tag === undefined ? name : `${name}:${tag}`)
  } catch (error) {
    if (MqError.from(error).code !== 'NAME_INVALID') throw error
    return undefined
  }
}
