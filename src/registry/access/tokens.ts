import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { chmod, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { MqError } from '../../errors/index.js'
import { openStore, prepareStore, type Store, withLock, writeAtomically } from '../store/index.js'

const maxTokens = 1000
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

const tokenSchema = v.object({
  id: v.pipe(v.string(), v.regex(/^[0-9a-f]{8}$/)),
  name: v.pipe(v.string(), v.maxLength(100)),
  /** SHA-256 of the token; the token itself is not stored. It has 238 random bits, so no salt or slow hash is needed. */
  sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  scopes: v.array(v.picklist(['read', 'write'])),
  /** In lower case; empty: all. */
  namespaces: v.array(v.string()),
  createdAt: v.pipe(v.string(), v.isoTimestamp()),
  expiresAt: v.optional(v.pipe(v.string(), v.isoTimestamp())),
})
const fileSchema = v.object({ version: v.literal(1), tokens: v.pipe(v.array(tokenSchema), v.maxLength(maxTokens)) })

type StoredToken = v.InferOutput<typeof tokenSchema>

/** What is stored of a token, except its hash. */
export type TokenInfo = Omit<StoredToken, 'sha256'>

/** Properties of a token to create. */
export interface TokenRequest {
  /** Description for the administrator. */
  readonly name: string
  readonly write: boolean
  /** Namespaces that it gives access to; by default all. */
  readonly namespaces?: readonly string[] | undefined
  /** Days until it expires; by default it never does. */
  readonly days?: number | undefined
}

/**
 * Creates a token for a registry's folder.
 * @returns the token, to be shown once, and what is stored of it. It begins with `hf_`, which some clients of Hugging Face insist on.
 * @throws MqError REGISTRY_CORRUPT, REGISTRY_BUSY, REGISTRY_LIMIT.
 */
export async function createToken(registry: string, request: TokenRequest): Promise<{ token: string; info: TokenInfo }> {
  const { name, write, namespaces = [], days } = request
  const token = `hf_${[...randomBytes(40)].map((byte) => alphabet[byte % alphabet.length]).join('')}`
  const now = Date.now()
  const stored: StoredToken = {
    id: randomBytes(4).toString('hex'),
    name,
    sha256: hashOf(token),
    scopes: write ? ['read', 'write'] : ['read'],
    namespaces: namespaces.map((namespace) => namespace.toLowerCase()),
    createdAt: new Date(now).toISOString(),
    ...(days !== undefined && { expiresAt: new Date(now + days * 86_400_000).toISOString() }),
  }
  await change(registry, (tokens) => {
    if (tokens.length >= maxTokens)
      throw MqError.of('REGISTRY_LIMIT', { name: 'the token', problem: `there are ${maxTokens} tokens` })
    return [...tokens, stored]
  })
  return { token, info: infoOf(stored) }
}

/** Lists the tokens of a registry, without the secrets. */
export async function listTokens(registry: string): Promise<TokenInfo[]> {
  return (await readTokens(openStore(registry))).map(infoOf)
}

/** Revokes a token. @param id as {@link listTokens} shows it. @throws MqError TOKEN_UNKNOWN. */
export async function removeToken(registry: string, id: string): Promise<void> {
  await change(registry, (tokens) => {
    const left = tokens.filter((token) => token.id !== id)
    if (left.length === tokens.length) throw MqError.of('TOKEN_UNKNOWN', { id })
    return left
  })
}

/** Finds a token. @returns its properties; undefined where it is unknown or has expired. */
export async function findIdentity(store: Store, token: string): Promise<TokenInfo | undefined> {
  const hash = Buffer.from(hashOf(token))
  const found = (await readTokens(store)).find(({ sha256 }) => timingSafeEqual(Buffer.from(sha256), hash))
  if (found === undefined || (found.expiresAt !== undefined && Date.parse(found.expiresAt) <= Date.now())) return undefined
  return infoOf(found)
}

/** Returns whether any token allows writing. */
export async function acceptsWrites(store: Store): Promise<boolean> {
  return (await readTokens(store)).some(({ scopes }) => scopes.includes('write'))
}

async function change(registry: string, update: (tokens: StoredToken[]) => StoredToken[]): Promise<void> {
  const store = openStore(registry)
  await prepareStore(store)
  await withLock(store, '.tokens', async (lock) => {
    const tokens = update(await readTokens(store))
    await lock.confirm()
    await writeAtomically(store, tokensPath(store), `${JSON.stringify({ version: 1, tokens }, undefined, 2)}\n`)
    await chmod(tokensPath(store), 0o600).catch(() => undefined)
  })
}

async function readTokens(store: Store): Promise<StoredToken[]> {
  const path = tokensPath(store)
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw MqError.from(error, path)
  })
  if (text === undefined) return []
  try {
    return v.parse(fileSchema, JSON.parse(text)).tokens
  } catch (error) {
    throw MqError.of('REGISTRY_CORRUPT', { path: store.directory, problem: 'tokens.json cannot be read' }, { cause: error })
  }
}

function tokensPath(store: Store): string {
  return join(store.directory, 'tokens.json')
}

function infoOf({ sha256: _, ...info }: StoredToken): TokenInfo {
  return info
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}
