import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { alignUp } from '../align-up.js'

const pageBytes = 65536

/** The kernels with a memory of their own. */
export interface Kernels {
  readonly exports: Readonly<Record<string, unknown>>
  /** Grows: make views of its buffer only after `reserve`. */
  readonly memory: WebAssembly.Memory
  /** First byte that the kernels do not use themselves, a multiple of 64. */
  readonly heapBase: number
  /** Makes the memory reach to byte `end` (exclusive) at least. */
  readonly reserve: (end: number) => void
}

let built: Promise<WebAssembly.Module> | undefined

/** The module that `npm run build` made, read and compiled once in a thread. */
function builtModule(): Promise<WebAssembly.Module> {
  built ??= readFile(createRequire(import.meta.url).resolve('#kernels.wasm')).then((bytes) => WebAssembly.compile(bytes))
  return built
}

/**
 * Compiles the kernels and keeps them. Threads of a process share what V8 compiles of a module as long as one of them holds it: held here,
 * the next threads need not compile it again.
 */
export async function holdKernels(): Promise<void> {
  await builtModule()
}

/** Whether the kernels that `npm run build` made have a function of this name. Takes no memory for them. */
export async function kernelNames(): Promise<ReadonlySet<string>> {
  return new Set(WebAssembly.Module.exports(await builtModule()).map(({ name }) => name))
}

/**
 * Loads the kernels into a memory of their own.
 * @param wasm the compiled module; by default the one that `npm run build` made.
 */
export async function loadKernels(wasm?: Uint8Array): Promise<Kernels> {
  const module = wasm === undefined ? await builtModule() : await WebAssembly.compile(wasm)
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 65536 })
  const abort = (): never => {
    throw new Error('a kernel aborted')
  }
  const { exports } = await WebAssembly.instantiate(module, { env: { memory, abort } })
  ;(exports['initialize'] as (() => void) | undefined)?.()
  return {
    exports,
    memory,
    heapBase: alignUp((exports['heapBase'] as () => number)(), 64),
    reserve(end) {
      const missing = end - memory.buffer.byteLength
      if (missing > 0) memory.grow(Math.ceil(missing / pageBytes))
    },
  }
}

/** Arrays of f64 in the memory of kernels. */
export interface DoublePlaces<Lengths extends readonly number[]> {
  /** First byte of each. */
  readonly at: { readonly [Index in keyof Lengths]: number }
  readonly views: { readonly [Index in keyof Lengths]: Float64Array }
}

/** Makes room for arrays of so many numbers, one after the other. Earlier ones are overwritten. */
export function doublePlaces<const Lengths extends readonly number[]>(
  { memory, heapBase, reserve }: Pick<Kernels, 'memory' | 'heapBase' | 'reserve'>,
  lengths: Lengths,
): DoublePlaces<Lengths> {
  let end = heapBase
  const at = lengths.map((length) => {
    const start = end
    end += 8 * length
    return start
  })
  reserve(end)
  const views = at.map((start, index) => new Float64Array(memory.buffer, start, lengths[index]))
  return { at, views } as unknown as DoublePlaces<Lengths>
}
