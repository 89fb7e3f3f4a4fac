import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import koffi from 'koffi'
import { type GgmlTypeName, ggmlBytes, ggmlType } from '../formats/ggml/types.js'

/** ggml itself, called in this process: what the kernels are held against, in tests and benchmarks. */
export interface GgmlOracle {
  /** False where the optional package with ggml's library is not installed; every call then throws. */
  readonly available: boolean
  /** What to put into a `describe.skipIf` title. */
  readonly name: string
  /** Blocks as ggml_quantize_chunk writes them. Types that demand an importance matrix get all ones where none is given. */
  quantize(type: GgmlTypeName, rows: Float32Array, rowLength: number, importance?: Float32Array): Uint8Array
  /** Values as the type's `to_float` reads them. */
  dequantize(type: GgmlTypeName, bytes: Uint8Array, elements: number): Float32Array
  /** Whether ggml has a `to_float` for the type. */
  canDequantize(type: GgmlTypeName): boolean
  blockSize(type: GgmlTypeName): number
  blockBytes(type: GgmlTypeName): number
  /** ggml's own name of an enum value. */
  typeName(id: number): string
}

function findLibrary(): string | undefined {
  if (process.platform !== 'linux') return undefined
  const platform = `linux-${process.arch}`
  try {
    const root = dirname(dirname(createRequire(import.meta.url).resolve(`@node-llama-cpp/${platform}`)))
    const path = join(root, 'bins', platform, 'libggml-base.so')
    return existsSync(path) ? path : undefined
  } catch {
    return undefined
  }
}

function load(path: string): GgmlOracle {
  const library = koffi.load(path)
  const toFloat = koffi.proto('void ggml_oracle_to_float(const void *x, void *y, int64_t k)')
  const traitsStruct = koffi.struct('ggml_oracle_type_traits', {
    type_name: 'const char *',
    blck_size: 'int64_t',
    blck_size_interleave: 'int64_t',
    type_size: 'size_t',
    is_quantized: 'bool',
    to_float: 'void *',
    from_float_ref: 'void *',
  })
  const getTraits = library.func('ggml_get_type_traits', koffi.pointer(traitsStruct), ['int'])
  const quantizeChunk = library.func(
    'size_t ggml_quantize_chunk(int type, const void *src, void *dst, int64_t start, int64_t nrows, int64_t n_per_row, const void *imatrix)',
  )
  const requiresImportance = library.func('bool ggml_quantize_requires_imatrix(int type)')
  const blckSize = library.func('int64_t ggml_blck_size(int type)')
  const typeSize = library.func('size_t ggml_type_size(int type)')
  const typeName = library.func('const char *ggml_type_name(int type)')
  const traits = (type: GgmlTypeName) => koffi.decode(getTraits(ggmlType(type).id), traitsStruct) as { to_float: unknown }

  return {
    available: true,
    name: 'libggml-base',
    quantize(type, rows, rowLength, importance) {
      const { id } = ggmlType(type)
      // ggml ends the process on a broken assertion, so they are checked here first.
      if (rows.length % rowLength !== 0) throw new RangeError(`${rows.length} values are not whole rows of ${rowLength}`)
      if (importance !== undefined && importance.length !== rowLength) throw new RangeError('importance of another row length')
      const weights = importance ?? (requiresImportance(id) ? new Float32Array(rowLength).fill(1) : null)
      const blocks = new Uint8Array(ggmlBytes(type, rows.length))
      quantizeChunk(id, rows, blocks, 0, rows.length / rowLength, rowLength, weights)
      return blocks
    },
    dequantize(type, bytes, elements) {
      if (bytes.byteLength !== ggmlBytes(type, elements)) throw new RangeError(`${bytes.byteLength} bytes of ${type}`)
      if (type === 'F32') return new Float32Array(bytes.slice().buffer)
      const { to_float } = traits(type)
      if (to_float === null) throw new RangeError(`ggml does not dequantize ${type}`)
      const values = new Float32Array(elements)
      koffi.call(to_float, toFloat, bytes, values, elements)
      return values
    },
    canDequantize: (type) => type === 'F32' || traits(type).to_float !== null,
    blockSize: (type) => Number(blckSize(ggmlType(type).id)),
    blockBytes: (type) => Number(typeSize(ggmlType(type).id)),
    typeName: (id) => typeName(id) as string,
  }
}

function absent(): GgmlOracle {
  const missing = (): never => {
    throw new Error('ggml is not here: install the optional package @node-llama-cpp/linux-x64 or -arm64')
  }
  return {
    available: false,
    name: 'SKIPPED: no libggml-base (optional package @node-llama-cpp/linux-x64 or -arm64)',
    quantize: missing,
    dequantize: missing,
    canDequantize: missing,
    blockSize: missing,
    blockBytes: missing,
    typeName: missing,
  }
}

const path = findLibrary()

/** Use with `describe.skipIf(!oracle.available)(... oracle.name ...)`. */
export const oracle: GgmlOracle = path === undefined ? absent() : load(path)
