import { concat } from './gguf-bytes.js'

/** A safetensors file from its header, given as text or as what JSON.stringify takes, and the number of bytes that follow. */
export function safetensorsBytes(header: unknown, dataBytes = 0): Uint8Array {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const length = new DataView(new ArrayBuffer(8))
  length.setBigUint64(0, BigInt(json.byteLength), true)
  return concat([new Uint8Array(length.buffer), json, new Uint8Array(dataBytes)])
}
