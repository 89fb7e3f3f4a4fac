import { exists } from '../checkpoint/index.js'

/** Path and weight of an adapter on the command line. */
export interface AdapterSpec {
  readonly path: string
  /** Factor of its updates, in addition to its own scaling. */
  readonly scale: number
}

/** Parses `DIR` or `DIR:SCALE`, such as `my-adapter:0.5`; an existing path is never split. */
export async function readAdapterSpec(text: string): Promise<AdapterSpec> {
  const [, path = text, scale] = /^(.+):(-?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)$/i.exec(text) ?? []
  if (scale === undefined || (await exists(text))) return { path: text, scale: 1 }
  return { path, scale: Number(scale) }
}
