import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { MqError } from '../errors/index.js'

type Environment = NodeJS.ProcessEnv

/** Where models are pulled from: $HF_ENDPOINT, else the Hugging Face hub. */
export function hubEndpoint(environment: Environment = process.env): string {
  return environment['HF_ENDPOINT'] || 'https://huggingface.co'
}

/** Where a name such as `kjv/llama:Q4_K_M` is looked up to be run: $MQ_ENDPOINT, else $HF_ENDPOINT, else the registry on this machine. */
export function registryEndpoint(environment: Environment = process.env): string {
  return environment['MQ_ENDPOINT'] || environment['HF_ENDPOINT'] || 'http://127.0.0.1:8484'
}

/** An endpoint without a slash at the end. @throws MqError OPTION_INVALID where it is no http address. */
export function normalizeEndpoint(endpoint: string): string {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) {
    const problem = 'it is not an http or https URL'
    throw MqError.of('OPTION_INVALID', { option: 'endpoint', value: endpoint, problem })
  }
  return (url.origin + url.pathname).replace(/\/+$/, '')
}

/**
 * The user's token, where the tools of Hugging Face keep it: $HF_TOKEN, or the file that `hf auth login` writes. undefined where there
 * is none. Source: huggingface_hub, utils/_auth.py.
 * @throws MqError TOKEN_INVALID.
 */
export async function findToken(environment: Environment = process.env): Promise<string | undefined> {
  const { HF_TOKEN: own, HUGGING_FACE_HUB_TOKEN: older, HF_TOKEN_PATH: file, HF_HOME: home, XDG_CACHE_HOME: cache } = environment
  const given = (own || older)?.trim()
  if (given) return checkToken(given, own ? 'HF_TOKEN' : 'HUGGING_FACE_HUB_TOKEN')
  const path = file || join(home || join(cache || join(homedir(), '.cache'), 'huggingface'), 'token')
  const text = await readFile(path, 'utf8').catch(() => '')
  return text.trim() ? checkToken(text.trim(), path) : undefined
}

/** A token goes into a header: one line of printable ASCII. What it is instead is not shown. */
function checkToken(token: string, where: string): string {
  if (/^[\x21-\x7E]{1,4096}$/.test(token)) return token
  throw MqError.of('TOKEN_INVALID', { where })
}

/** Whether the environment says to do without any network: HF_HUB_OFFLINE, as huggingface_hub reads it. */
export function isOffline(environment: Environment = process.env): boolean {
  return /^(?:1|on|yes|true)$/i.test(environment['HF_HUB_OFFLINE'] ?? '')
}

/** Where pulled models are kept: $MQ_CACHE, else mq under the user's cache folder (XDG). */
export function cacheDirectory({ MQ_CACHE: own, XDG_CACHE_HOME: cache }: Environment = process.env): string {
  return own || join(cache || join(homedir(), '.cache'), 'mq')
}
