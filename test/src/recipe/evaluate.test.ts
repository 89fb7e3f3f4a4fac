import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Codec } from '../../../formats/ggml/codec.js'
import { exponential } from '../../../src/recipe/exponential.js'
import {
  add,
  blockScale,
  combine,
  concat,
  constant,
  elementCount,
  evaluateRows,
  expand,
  type FileRange,
  interleaveHalves,
  lookup,
  lowRank,
  multiply,
  negativeExp,
  newStatistics,
  normalize,
  place,
  plain,
  powersText,
  preferredRowStep,
  type Recipe,
  reshape,
  rowCount,
  rowLength,
  rowMagnitude,
  type Shape,
  scale,
  slice,
  stack,
  strideRows,
  takeColumns,
  transpose,
  unpack,
} from '../../../src/recipe/index.js'

const noCodec = {} as Codec

/** A file whose values count up from 0, so that a value names its place. */
function countingFile(values: number): { read: (range: FileRange) => Promise<Uint8Array>; ranges: FileRange[] } {
  const bytes = new Uint8Array(Float32Array.from({ length: values }, (_, index) => index).buffer)
  const ranges: FileRange[] = []
  return {
    ranges,
    async read(range) {
      ranges.push(range)
      return bytes.subarray(range.start, range.end)
    },
  }
}

const leaf = (shape: Shape, at = 0): Recipe =>
  plain('F32', { file: 0, start: 4 * at, end: 4 * (at + elementCount(shape)) }, shape)

async function all(recipe: Recipe): Promise<number[]> {
  const { read } = countingFile(100_000)
  return [...(await evaluateRows(recipe, 0, rowCount(recipe), read, noCodec))]
}

const countingBytes = new Uint8Array(Float32Array.from({ length: 10_000 }, (_, index) => index).buffer)

/** A packed value of the counting file, from one big number for each row or column of words. */
function bitsAt({ range, bits, along, packed, order }: Extract<Recipe, { op: 'unpack' }>, row: number, column: number): number {
  const [rows, columns] = packed as [number, number]
  const bytes =
    along === 1
      ? Array.from({ length: columns }, (_, at) => row * columns + at)
      : Array.from({ length: rows * 4 }, (_, at) => (Math.floor(at / 4) * columns + column) * 4 + (at % 4))
  const number = bytes.reduceRight((sum, at) => sum * 256n + BigInt(countingBytes[range.start + at] as number), 0n)
  const group = order.length === 0 ? 1 : order.length
  const place = along === 0 ? row : column - (column % group) + (order[column % group] ?? 0)
  return Number((number >> BigInt(place * bits)) & BigInt(2 ** bits - 1))
}

/** The plainest evaluator: element by element, by index. */
function valueAt(recipe: Recipe, index: readonly number[]): number {
  const flat = (shape: Shape, place: readonly number[]): number =>
    shape.reduce((sum, size, axis) => sum * size + (place[axis] as number), 0)
  const unflat = (shape: Shape, at: number): number[] =>
    shape.map((size, axis) => Math.floor(at / elementCount(shape.slice(axis + 1))) % size)
  const [first = 0, ...rest] = index
  switch (recipe.op) {
    case 'plain':
      return recipe.range.start / 4 + flat(recipe.shape, index)
    case 'constant':
      return Math.fround(recipe.values[flat(recipe.shape, index)] as number)
    case 'add':
      return Math.fround(valueAt(recipe.input, index) + recipe.value)
    case 'negative-exp':
      return -exponential(valueAt(recipe.input, index))
    case 'place': {
      const at = index[recipe.axis] as number
      for (let run = 0; run < recipe.runs.length; run += 3) {
        const [from, to, count] = recipe.runs.slice(run, run + 3) as [number, number, number]
        if (at >= to && at < to + count) return valueAt(recipe.input, index.with(recipe.axis, at - to + from))
      }
      return 0
    }
    case 'scale':
      return Math.fround(valueAt(recipe.input, index) * 2 ** (recipe.powers.charCodeAt(index[recipe.axis] as number) - 109))
    case 'multiply':
      return Math.fround(valueAt(recipe.input, index) * recipe.value)
    case 'reshape':
      return valueAt(recipe.input, unflat(recipe.input.shape, flat(recipe.shape, index)))
    case 'slice':
      return valueAt(recipe.input, index.with(recipe.axis, (index[recipe.axis] as number) + recipe.start))
    case 'transpose':
      return valueAt(recipe.input, [...index.slice(0, -2), index.at(-1) as number, index.at(-2) as number])
    case 'stack':
      return valueAt(recipe.inputs[first] as Recipe, rest)
    case 'concat': {
      let before = 0
      for (const input of recipe.inputs) {
        const size = input.shape[0] as number
        if (first < before + size) return valueAt(input, [first - before, ...rest])
        before += size
      }
      throw new Error('beyond the end')
    }
    case 'interleave-halves': {
      const head = (recipe.shape[0] as number) / recipe.heads
      const inHead = first % head
      return valueAt(recipe.input, [first - inHead + (inHead % 2) * (head / 2) + Math.floor(inHead / 2), ...rest])
    }
    case 'block-scale': {
      const [row, column] = index as [number, number]
      const scale = valueAt(recipe.scale, [Math.floor(row / recipe.blockRows), Math.floor(column / recipe.blockColumns)])
      return Math.fround(valueAt(recipe.weight, index) * scale)
    }
    case 'expand':
      return valueAt(recipe.input, [Math.floor(first / recipe.blockRows), Math.floor((rest[0] as number) / recipe.blockColumns)])
    case 'stride-rows': {
      const axis = index.length - 2
      return valueAt(recipe.input, index.with(axis, (index[axis] as number) * recipe.step + recipe.first))
    }
    case 'take-columns':
      return valueAt(recipe.input, [first, valueAt(recipe.index, rest)])
    case 'lookup': {
      const code = valueAt(recipe.input, index)
      const isEntry = Number.isInteger(code) && code >= 0 && code < elementCount(recipe.table.shape)
      return isEntry ? valueAt(recipe.table, [code]) : Number.NaN
    }
    case 'low-rank': {
      const rank = rowLength(recipe.left)
      const [row, column] = index as [number, number]
      const terms = Array.from({ length: rank }, (_, k) => valueAt(recipe.left, [row, k]) * valueAt(recipe.right, [k, column]))
      // Four at a time, and what remains one by one.
      const whole = rank - (rank % 4)
      const groups = [
        ...Array.from({ length: whole / 4 }, (_, group) => terms.slice(4 * group, 4 * group + 4)),
        ...terms.slice(whole).map((term) => [term]),
      ]
      const sum = groups.reduce((before, group) => Math.fround(group.reduce((sum, term) => sum + term, before)), 0)
      return Math.fround(sum * recipe.scale)
    }
    case 'row-magnitude': {
      const rowOf = (input: Recipe): number[] => Array.from({ length: rowLength(input) }, (_, at) => valueAt(input, [first, at]))
      const norm = Math.fround(Math.sqrt(rowOf(recipe.normed ?? recipe.input).reduce((sum, value) => sum + value ** 2, 0)))
      return Math.fround(Math.fround(valueAt(recipe.magnitude, [first]) / norm) * valueAt(recipe.input, index))
    }
    case 'combine': {
      const [left, right] = [valueAt(recipe.left, index), valueAt(recipe.right, index)]
      const results = { sum: left + right, difference: left - right, product: left * right, quotient: left / right }
      return Math.fround(results[recipe.by])
    }
    case 'normalize': {
      const value = valueAt(recipe.input, index)
      const columns = rowLength(recipe)
      const others = Array.from({ length: elementCount(recipe.shape) }, (_, at) =>
        valueAt(recipe.input, unflat(recipe.shape, at)),
      )
      if (recipe.by === 'unit-rows') {
        const row = others.slice((index[0] as number) * columns, ((index[0] as number) + 1) * columns)
        return Math.fround(value / Math.fround(Math.max(Math.hypot(...row), 1e-12)))
      }
      if (recipe.by === 'unit-columns') {
        const column = others.filter((_, at) => at % columns === index.at(-1))
        const sum = column.reduce((before, other) => Math.fround(before + other ** 2), 0)
        return Math.fround(value / Math.fround(Math.fround(Math.sqrt(sum)) + Math.fround(1e-7)))
      }
      const total = others.reduce((sum, other) => sum + (recipe.by === 'centred' ? other : Math.abs(other)), 0)
      const mean = Math.fround(Math.fround(total) / others.length)
      if (recipe.by === 'centred') return Math.fround(value - mean)
      const inverse = Math.fround(1 / Math.max(mean, Math.fround(1e-5)))
      const times = Math.fround(value * inverse)
      const nearest = Math.abs(times) > 0.5 ? Math.sign(times) : Math.trunc(times)
      return Math.fround(nearest * Math.fround(1 / inverse))
    }
    case 'unpack': {
      const [row, column] = (recipe.transposed ? index.toReversed() : index) as [number, number]
      return bitsAt(recipe, row, column)
    }
    case 'mxfp4':
    case 'q4-0':
    case 'ggml':
      throw new Error('not here')
  }
}

function expectedValues(recipe: Recipe): number[] {
  return Array.from({ length: elementCount(recipe.shape) }, (_, at) =>
    valueAt(
      recipe,
      recipe.shape.map((size, axis) => Math.floor(at / elementCount(recipe.shape.slice(axis + 1))) % size),
    ),
  )
}

const small = fc.integer({ min: 1, max: 5 })

/** Any recipe, up to some operations deep. */
const anyRecipe: fc.Arbitrary<Recipe> = fc.letrec<{ recipe: Recipe }>((tie) => ({
  recipe: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.array(small, { minLength: 1, maxLength: 4 }).chain((shape) => fc.nat(50).map((at) => leaf(shape, at))),
    small.map((length) => constant(Array.from({ length }, (_, index) => index / 3))),
    fc.tuple(tie('recipe'), small).map(([input, value]) => add(input, value)),
    tie('recipe').map(negativeExp),
    fc.tuple(tie('recipe'), small).map(([input, value]) => multiply(input, value + 0.1)),
    fc.tuple(tie('recipe'), small, fc.nat()).map(([input, step, first]) => {
      const entries = Array.from({ length: step }, (_, index) => add(input, index))
      return strideRows(reshape(stack(entries), [step * rowCount(input), rowLength(input)]), first % step, step)
    }),
    fc.tuple(tie('recipe'), fc.nat(), small, small).map(([input, a, before, after]) => {
      const axis = a % input.shape.length
      const size = input.shape[axis] as number
      const half = Math.ceil(size / 2)
      // The second half first, with places left free before, between and after.
      const runs = [...(size > half ? [half, before, size - half] : []), 0, before + size - half + 1, half]
      return place(input, axis, runs, before + size + 1 + after)
    }),
    fc.tuple(tie('recipe'), fc.nat(), small).map(([input, a, step]) => {
      const axis = a % input.shape.length
      return scale(input, axis, powersText(Array.from({ length: input.shape[axis] as number }, (_, at) => ((at * step) % 9) - 4)))
    }),
    tie('recipe').map((input) => reshape(input, input.shape.toReversed())),
    tie('recipe').map((input) => reshape(input, [elementCount(input.shape)])),
    tie('recipe').map((input) => (input.shape.length < 2 ? reshape(input, [1, ...input.shape]) : transpose(input))),
    fc.tuple(tie('recipe'), small).map(([input, count]) => stack(Array.from({ length: count }, (_, index) => add(input, index)))),
    fc
      .tuple(tie('recipe'), small)
      .map(([input, count]) => concat(Array.from({ length: count }, (_, index) => add(input, index)))),
    fc.tuple(tie('recipe'), fc.nat(), fc.nat(), fc.nat()).map(([input, a, b, c]) => {
      if (input.shape.length < 2) return input
      const axis = a % (input.shape.length - 1)
      const size = input.shape[axis] as number
      const start = b % size
      return slice(input, axis, start, start + 1 + (c % (size - start)))
    }),
    fc.tuple(tie('recipe'), small, small).map(([input, heads, half]) => {
      const rows = 2 * heads * half
      const flat = reshape(input, [elementCount(input.shape), 1])
      return interleaveHalves(concat(Array.from({ length: rows }, (_, index) => add(slice(flat, 0, 0, 1), index))), heads)
    }),
    fc.tuple(tie('recipe'), small, small, fc.nat(50)).map(([input, blockRows, blockColumns, at]) => {
      const columns = rowLength(input)
      const weight = reshape(input, [elementCount(input.shape) / columns, columns])
      const blocks = [Math.ceil(rowCount(weight) / blockRows), Math.ceil(columns / blockColumns)]
      return blockScale(weight, leaf(blocks, at), blockRows, blockColumns)
    }),
    fc.tuple(tie('recipe'), small, small, fc.nat(4)).map(([input, blockRows, blockColumns, less]) => {
      const matrix = reshape(input, [rowCount(input), rowLength(input)])
      const size = (count: number, block: number): number => Math.max((count - 1) * block + 1, count * block - less)
      return expand(matrix, blockRows, blockColumns, [size(rowCount(matrix), blockRows), size(rowLength(matrix), blockColumns)])
    }),
    fc
      .tuple(tie('recipe'), fc.array(fc.nat(), { minLength: 1, maxLength: 6 }))
      .map(([input, numbers]) =>
        takeColumns(
          reshape(input, [rowCount(input), rowLength(input)]),
          constant(numbers.map((number) => number % rowLength(input))),
        ),
      ),
    fc.tuple(tie('recipe'), fc.integer({ min: 1, max: 7 }), small, fc.nat(50)).map(([input, rank, rows, at]) => {
      const right = takeColumns(reshape(input, [elementCount(input.shape), 1]), constant([0, 0, 0]))
      const stacked = concat(Array.from({ length: rank }, (_, index) => add(slice(right, 0, 0, 1), index)))
      return lowRank(at % 2 === 0 ? leaf([rows, rank], at) : transpose(leaf([rank, rows], at)), stacked, at / 7)
    }),
    fc.tuple(tie('recipe'), fc.nat(50), fc.boolean()).map(([input, at, other]) => {
      const matrix = reshape(input, [rowCount(input), rowLength(input)])
      return rowMagnitude(matrix, leaf([rowCount(matrix)], at + 1), other ? leaf(matrix.shape, at + 2) : undefined)
    }),
    fc
      .tuple(tie('recipe'), fc.constantFrom('centred', 'unit-columns', 'unit-rows', 'ternary'))
      .map(([input, by]) => normalize(by, reshape(input, [rowCount(input), rowLength(input)]))),
    fc.tuple(tie('recipe'), small).map(([input, length]) => lookup(input, leaf([length], 7))),
    fc
      .tuple(tie('recipe'), fc.constantFrom('sum', 'difference', 'product', 'quotient'), fc.nat(50))
      .map(([input, by, at]) => combine(by, input, leaf(input.shape, at))),
    fc
      .record({
        rows: small,
        columns: small,
        bits: fc.integer({ min: 1, max: 8 }),
        along: fc.constantFrom(0, 1),
        transposed: fc.boolean(),
        at: fc.nat(200),
        interleaved: fc.boolean(),
      })
      .map(({ rows, columns, bits, along, transposed, at, interleaved }) => {
        const values = along === 1 && interleaved ? [rows, columns * 4] : along === 1 ? [rows, columns] : [rows * 7, columns]
        const [valueRows = 0, valueColumns = 0] = values
        const packed =
          along === 1 ? [rows, Math.ceil((valueColumns * bits) / 8) + 1] : [Math.ceil((valueRows * bits) / 32), columns]
        const order = along === 1 && interleaved ? [0, 2, 1, 3] : []
        const bytes = (packed[0] as number) * (packed[1] as number) * (along === 1 ? 1 : 4)
        return unpack({ file: 0, start: at, end: at + bytes }, { bits, along, packed, values, order, transposed })
      }),
  ),
})).recipe

describe('evaluateRows', () => {
  it('gives any range of rows of any recipe as an evaluator by index does', async () => {
    await fc.assert(
      fc.asyncProperty(anyRecipe, fc.nat(), fc.nat(), async (recipe, a, b) => {
        fc.pre(elementCount(recipe.shape) < 3000)
        const rows = rowCount(recipe)
        const start = a % (rows + 1)
        const end = start + (b % (rows - start + 1))
        const { read } = countingFile(10_000)
        const values = await evaluateRows(recipe, start, end, read, noCodec)
        const length = rowLength(recipe)
        expect([...values]).toEqual(expectedValues(recipe).slice(start * length, end * length))
      }),
      { numRuns: 400 },
    )
  })

  it('gives any range of rows of dimensions that are spread, and drawn together again', async () => {
    const growth = fc.tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 0, max: 5 }))
    /** Entries in order with zeros evenly between them, or those entries alone. */
    const resized = (input: Recipe, axis: number, [narrow, more]: [number, number], back: boolean): Recipe => {
      const runs = Array.from({ length: narrow }, (_, at) => [at, Math.floor((at * (narrow + more)) / narrow), 1])
      return back
        ? place(input, axis, runs.map(([from = 0, to = 0, count = 0]) => [to, from, count]).flat(), narrow)
        : place(input, axis, runs.flat(), narrow + more)
    }
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 3 }),
        growth,
        growth,
        fc.boolean(),
        fc.nat(),
        fc.nat(),
        async (matrices, rows, columns, back, a, b) => {
          const sizes = [rows, columns].map(([narrow, more]) => (back ? narrow + more : narrow))
          const recipe = resized(resized(leaf([matrices, ...sizes], 3), 1, rows, back), 2, columns, back)
          const start = a % (rowCount(recipe) + 1)
          const end = start + (b % (rowCount(recipe) - start + 1))
          const values = await evaluateRows(recipe, start, end, countingFile(10_000).read, noCodec)
          const length = rowLength(recipe)
          expect([...values]).toEqual(expectedValues(recipe).slice(start * length, end * length))
        },
      ),
    )
  })

  it('reads whole matrices of a spread dimension where its input is read so', () => {
    const spread = (input: Recipe): Recipe => place(input, 1, [0, 0, 15, 15, 16, 15, 30, 32, 15], 48)
    expect(preferredRowStep(spread(transpose(leaf([2, 8, 45], 0))))).toBe(48)
    expect(preferredRowStep(spread(leaf([2, 45, 8], 0)))).toBe(1)
  })

  it('computes the exponential to the bit that torch does', async () => {
    // torch 2.14: x = torch.linspace(-3, 3, 8), -torch.exp(x)
    const x = [
      -3.0, -2.142857074737549, -1.2857142686843872, -0.4285714030265808, 0.4285714030265808, 1.2857142686843872,
      2.142857074737549, 3.0,
    ]
    const expected = [
      -0.049787066876888275, -0.11731917411088943, -0.27645304799079895, -0.6514390707015991, -1.5350630283355713,
      -3.617250680923462, -8.52375602722168, -20.08553695678711,
    ]
    expect(await all(negativeExp(constant(x)))).toEqual(expected)
    expect(await all(negativeExp(constant([-200, 0, 200])))).toEqual([-0, -1, Number.NEGATIVE_INFINITY])
  })

  it('normalizes by a mean, the norms of columns and the mean magnitude to the bit that torch does', async () => {
    // torch 2.14: x - x.mean(), x / (torch.norm(x, p=2, dim=0) + 1e-7), and BitnetModel.weight_quant of conversion/bitnet.py, of f32 and f16.
    const x = constant([0.1, -0.7, 1.3, 2.1, 0.05, -0.33], [2, 3])
    expect(await all(normalize('centred', constant([0.5, -0.75, 1.25, 2, 0.25, -0.25])))).toEqual([
      0, -1.25, 0.75, 1.5, -0.25, -0.75,
    ])
    expect(await all(normalize('unit-columns', x))).toEqual([
      0.04756515100598335, -0.9974585175514221, 0.9692589044570923, 0.9988681077957153, 0.07124704122543335, -0.2460426688194275,
    ])
    // torch.nn.functional.normalize of a row of length 5, and of zeros.
    expect(await all(normalize('unit-rows', constant([3, 4, 0, 0], [2, 2])))).toEqual([Math.fround(0.6), Math.fround(0.8), 0, 0])
    const scale = 0.7633333206176758
    expect(await all(normalize('ternary', x))).toEqual([0, -scale, scale, scale, 0, -0])
    const half = constant([0.0999755859375, -0.7001953125, 1.2998046875, 2.099609375, 0.04998779296875, -0.330078125], [2, 3])
    const rounded = 0.76318359375
    expect(await all(normalize('ternary-f16', half))).toEqual([0, -rounded, rounded, rounded, 0, -0])
  })

  it("permutes heads as llama.cpp's permute does", async () => {
    // numpy: arange(8).reshape(2, 2, 2).swapaxes(1, 2).reshape(8), two heads of four rows.
    expect(await all(interleaveHalves(leaf([8, 1]), 2))).toEqual([0, 2, 1, 3, 4, 6, 5, 7])
    expect(await all(interleaveHalves(leaf([8]), 2))).toEqual([0, 2, 1, 3, 4, 6, 5, 7])
  })

  it('multiplies in f32, one factor for each block, cropped at the edges', async () => {
    const scale = constant([1, 10, 100, 1000], [2, 2])
    expect(await all(blockScale(leaf([3, 3]), scale, 2, 2))).toEqual([0, 1, 20, 3, 4, 50, 600, 700, 8000])
  })

  it('reads only what the rows need', async () => {
    const ranges = async (recipe: Recipe, start: number, end: number): Promise<number[][]> => {
      const { read, ranges } = countingFile(4096)
      await evaluateRows(recipe, start, end, read, noCodec)
      return ranges.map((range) => [range.start / 4, range.end / 4])
    }
    expect(await ranges(leaf([64, 8]), 10, 12)).toEqual([[80, 96]])
    expect(await ranges(stack([leaf([4, 8]), leaf([4, 8], 100), leaf([4, 8], 200)]), 5, 6)).toEqual([[108, 116]])
    // Rows 4 to 7 of the head: the even ones from its first half, the odd ones from its second.
    expect(await ranges(interleaveHalves(leaf([16, 2]), 1), 4, 8)).toEqual([
      [4, 8],
      [20, 24],
    ])
    // The matrix of the third head alone.
    expect(await ranges(transpose(slice(leaf([4, 6, 8]), 1, 0, 2)), 16, 24)).toEqual([[96, 112]])
  })

  it('reads all of a tensor once for its statistics, whatever ranges of rows share them', async () => {
    const { read, ranges } = countingFile(64)
    const statistics = newStatistics()
    const rows = async (recipe: Recipe, start: number, end: number): Promise<number[]> => {
      // As each task brings its own.
      const copy = structuredClone(recipe)
      return [...(await evaluateRows(copy, start, end, read, noCodec, undefined, statistics))]
    }
    for (const by of ['centred', 'unit-columns', 'ternary'] as const) {
      ranges.splice(0)
      const recipe = normalize(by, leaf([4, 8]))
      const halves = await Promise.all([rows(recipe, 0, 2), rows(recipe, 2, 4)])
      expect(halves.flat()).toEqual(expectedValues(recipe))
      expect(ranges.map((range) => [range.start / 4, range.end / 4])).toEqual([
        [0, 32],
        [0, 16],
        [16, 32],
      ])
      expect(await rows(normalize(by, leaf([4, 8], 9)), 0, 4)).toEqual(expectedValues(normalize(by, leaf([4, 8], 9))))
    }
  })

  it('computes a statistic again that failed', async () => {
    const { read } = countingFile(64)
    const statistics = newStatistics()
    const recipe = normalize('centred', leaf([4, 8]))
    const failing = (): Promise<never> => Promise.reject(new Error('no such file'))
    await expect(evaluateRows(recipe, 0, 4, failing, noCodec, undefined, statistics)).rejects.toThrow('no such file')
    expect([...(await evaluateRows(recipe, 0, 4, read, noCodec, undefined, statistics))]).toEqual(expectedValues(recipe))
  })

  it('refuses rows that there are not', async () => {
    const { read } = countingFile(8)
    await expect(evaluateRows(leaf([2, 4]), 1, 3, read, noCodec)).rejects.toThrow(RangeError)
    await expect(evaluateRows(leaf([2, 4]), -1, 1, read, noCodec)).rejects.toThrow(RangeError)
  })
})

describe('constructors', () => {
  it.each([
    ['fewer bytes than the shape needs', () => plain('F16', { file: 0, start: 0, end: 7 }, [4])],
    ['scales for other blocks', () => blockScale(leaf([4, 4]), leaf([2, 2]), 4, 2)],
    ['heads that do not divide the rows', () => interleaveHalves(leaf([6, 2]), 2)],
    ['another number of values', () => reshape(leaf([4]), [5])],
    ['a slice of the last axis', () => slice(leaf([4, 4]), 1, 0, 1)],
    ['a slice beyond the end', () => slice(leaf([4, 4]), 0, 3, 5)],
    ['a vector to transpose', () => transpose(leaf([4]))],
    ['unequal experts', () => stack([leaf([2, 2]), leaf([2, 3])])],
    ['nothing to stack', () => stack([])],
    ['rows of other lengths', () => concat([leaf([2, 2]), leaf([2, 3])])],
  ])('refuse %s', (_, make) => {
    expect(make).toThrow(RangeError)
  })
})

describe('preferredRowStep', () => {
  it.each<[string, Recipe, number]>([
    ['any row of a plain tensor', leaf([64, 8]), 1],
    ['the rows of an fp8 block', blockScale(leaf([64, 8]), leaf([4, 1]), 16, 8), 16],
    ['a head', interleaveHalves(leaf([64, 8]), 4), 16],
    ['a matrix to be transposed', transpose(leaf([4, 6, 8])), 8],
    ['no more than there are', blockScale(leaf([3, 8]), leaf([1, 1]), 128, 128), 3],
  ])('is %s', (_, recipe, step) => {
    expect(preferredRowStep(recipe)).toBe(step)
  })
})
