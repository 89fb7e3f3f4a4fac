import { parseArgs } from 'node:util'
import { positiveOf } from './arguments.js'
import { benchQuality, type QualityRow, rivalKinds } from './quality.js'
import { benchIngredients, type IngredientRow } from './quality-ingredients.js'
import { ingredientsText } from './quality-ingredients-text.js'
import { sampleNames, textNames } from './quality-lab.js'
import { comparedSizes } from './quality-sizes.js'
import { qualityHeading, qualityLine, qualityMarkdown, qualitySummary } from './quality-text.js'

/** `npm run bench -- quality`: takes its arguments, of which lists are separated by commas, and prints its results. */
export async function quality(args: string[]): Promise<void> {
  const [list, flag] = [{ type: 'string' } as const, { type: 'boolean' } as const]
  const lists = { samples: list, sizes: list, texts: list, rivals: list, chunks: list, cache: list }
  const options = { json: flag, markdown: flag, ingredients: flag, ...lists }
  const { values } = parseArgs({ args, options })
  const { cache } = values
  const chosen = {
    samples: oneOf('sample', sampleNames, values.samples),
    texts: oneOf('text', textNames, values.texts),
    sizes: oneOf(
      'size',
      comparedSizes.map(({ name }) => name),
      values.sizes,
    ),
    rivals: oneOf('rival', rivalKinds, values.rivals),
    chunks: values.chunks === undefined ? undefined : positiveOf('chunks', values.chunks),
    cache,
    say: (text: string) => console.error(text),
  }
  if (values.ingredients === true) {
    const rows: IngredientRow[] = []
    for await (const row of benchIngredients(chosen)) rows.push(row)
    console.log(values.json === true ? JSON.stringify(rows, null, 2) : ingredientsText(rows))
    return
  }
  const found: QualityRow[] = []
  const atOnce = values.json !== true && values.markdown !== true
  if (atOnce) console.log(qualityHeading)
  for await (const row of benchQuality(chosen)) {
    found.push(row)
    if (atOnce) console.log(qualityLine(row))
  }
  if (values.json === true) console.log(JSON.stringify(found, null, 2))
  else console.log(values.markdown === true ? qualityMarkdown(found) : `\n${qualitySummary(found)}`)
}

function oneOf<Name extends string>(what: string, known: readonly Name[], list: string | undefined): readonly Name[] {
  return (
    list?.split(',').map((asked) => {
      const name = known.find((name) => name === asked)
      if (name === undefined) throw new Error(`There is no ${what} ${asked}: it is ${known.join(', ')}.`)
      return name
    }) ?? known
  )
}
