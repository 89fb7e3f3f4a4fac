import { exists } from '../checkpoint/index.js'

/** An adapter as a user names it. */
export interface AdapterSpec {
  readonly path: string
  /** What its changes are multiplied by, besides its own scaling. */
  readonly scale: number
}

/** Reads `DIR`, or `DIR:SCALE` such as `my-adapter:0.5`; a path that is there as it stands is taken as it stands. */
export async function readAdapterSpec(text: string): Promise<AdapterSpec> {
  const [, path = text, scale] = /^(.+):(-?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)$/i.exec(text) ?? []
  if (scale === undefined || (await exists(text))) return { path: text, scale: 1 }
  return { path, scale: Number(scale) }
}
