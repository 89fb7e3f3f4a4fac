import { createClient, type HubClient } from './client.js'
import { findToken, normalizeEndpoint } from './endpoint.js'

/** Where from and how, as callers say it. */
export interface ConnectOptions {
  /** Address of a hub or registry. */
  readonly endpoint?: string
  /** Sent to the endpoint; $HF_TOKEN, else the one that `hf auth login` left. */
  readonly token?: string
  readonly signal?: AbortSignal
  /** First pause before trying again, in milliseconds. */
  readonly pauseMs?: number
}

/** A client for the endpoint that was asked for, else for `endpoint`. @throws MqError OPTION_INVALID where that is no address. */
export async function connect(options: ConnectOptions, endpoint: string): Promise<HubClient> {
  return createClient({
    endpoint: normalizeEndpoint(options.endpoint ?? endpoint),
    token: options.token ?? (await findToken()),
    signal: options.signal ?? new AbortController().signal,
    pauseMs: options.pauseMs ?? 500,
  })
}
