import { isIP } from 'node:net'

/** Whether a name or address means this machine alone. */
export function isLoopback(host: string): boolean {
  const name = host
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')
  return name === 'localhost' || name.endsWith('.localhost') || name === '::1' || (isIP(name) === 4 && name.startsWith('127.'))
}

/**
 * Whether a request may be answered by its Host: a server that listens on this machine alone refuses other names, since a web page
 * elsewhere may have its name lead to 127.0.0.1 (DNS rebinding). Of other servers the names are not known.
 * @param listensOn the address that the server listens on. @param host of the request, with its port.
 */
export function isOwnHost(listensOn: string, host: string | undefined): boolean {
  return !isLoopback(listensOn) || host === undefined || isLoopback(host.replace(/:\d*$/, ''))
}
