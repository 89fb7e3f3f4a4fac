import { MqError } from '../errors/index.js'

type Environment = NodeJS.ProcessEnv

/** The proxies that the environment names, as curl reads it: lower case before upper case, ALL_PROXY for both, http where it says none. */
export interface ProxySettings {
  readonly httpProxy: string | undefined
  readonly httpsProxy: string | undefined
  readonly noProxy: string | undefined
}

/** @throws MqError PROXY_INVALID where a proxy is not an http address. */
export function proxySettings(environment: Environment = process.env): ProxySettings {
  return {
    httpProxy: proxyAddress(environment, ['http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY']),
    httpsProxy: proxyAddress(environment, ['https_proxy', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY']),
    noProxy: environment['no_proxy'] || environment['NO_PROXY'] || undefined,
  }
}

let made: { readonly key: string; readonly fetch: typeof fetch } | undefined

/** `fetch`, through the proxies of the environment where it names any. */
export async function environmentFetch(): Promise<typeof fetch> {
  const { httpProxy, httpsProxy, noProxy } = proxySettings()
  if (httpProxy === undefined && httpsProxy === undefined) return fetch
  const key = JSON.stringify([httpProxy, httpsProxy, noProxy])
  if (made?.key === key) return made.fetch
  const undici = await import('undici')
  // An empty string keeps the agent from reading the environment itself. Plain http goes to the proxy as it is, not through a tunnel.
  const dispatcher = new undici.EnvHttpProxyAgent({
    httpProxy: httpProxy ?? '',
    httpsProxy: httpsProxy ?? '',
    noProxy: noProxy ?? '',
    proxyTunnel: false,
  })
  // Its own fetch: the one of Node may be of another version of undici, whose agents differ.
  const through = ((input: string | URL, init: object) => undici.fetch(input, { ...init, dispatcher })) as unknown as typeof fetch
  made = { key, fetch: through }
  return through
}

function proxyAddress(environment: Environment, names: readonly string[]): string | undefined {
  const name = names.find((candidate) => environment[candidate])
  const text = name === undefined ? undefined : environment[name]?.trim()
  if (name === undefined || !text) return undefined
  const address = text.includes('://') ? text : `http://${text}`
  if (URL.canParse(address) && ['http:', 'https:'].includes(new URL(address).protocol)) return address
  // Its value may hold a password.
  throw MqError.of('PROXY_INVALID', { name })
}
