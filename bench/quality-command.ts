import { appendFile, readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { positiveOf } from './arguments.js'
import { benchQuality, type QualityRow, rivalKinds } from './quality.js'
import { benchIngredients, type IngredientRow } from './quality-ingredients.js'
import { ingredientsText } from './quality-ingredients-text.js'
import { comparedSizes } from './quality-sizes.js'
import { modelSubject, type QualitySubject, sampleNames, sampleSubject, textNames } from './quality-subject.js'
import { qualityHeading, qualityLine, qualityMarkdown, qualitySummary } from './quality-text.js'
import { realNames, realSubjects, realTexts } from './real-models.js'

/**
 * `npm run bench -- quality`: takes its arguments, of which lists are separated by commas, and prints its results.
 * `--rows FILE` appends each row as a line of JSON as soon as it is measured; `--show FILE` prints such rows and measures nothing.
 */
export async function quality(args: string[]): Promise<void> {
  const [list, flag] = [{ type: 'string' } as const, { type: 'boolean' } as const]
  const lists = { samples: list, sizes: list, texts: list, rivals: list, chunks: list, cache: list, rows: list, show: list }
  const several = { type: 'string', multiple: true } as const
  const model = { model: list, 'calibration-text': several, 'calibration-chunks': list, text: several, real: flag }
  const options = { json: flag, markdown: flag, ingredients: flag, ...lists, ...model }
  const { values } = parseArgs({ args, options })
  const { cache, rows: rowsFile } = values
  const form = { json: values.json === true, markdown: values.markdown === true }
  if (values.show !== undefined) return print(await readRows(values.show), form)
  const chosen = {
    subjects: await subjectsOf(values),
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
  const atOnce = !form.json && !form.markdown
  if (atOnce) console.log(qualityHeading)
  for await (const row of benchQuality(chosen)) {
    found.push(row)
    if (atOnce) console.log(qualityLine(row))
    if (rowsFile !== undefined) await appendFile(rowsFile, `${JSON.stringify(row)}\n`)
  }
  print(found, form)
}

/** Rows as `--rows` wrote them, of one run or several: the last of each comparison. */
async function readRows(path: string): Promise<QualityRow[]> {
  const lines = (await readFile(path, 'utf8')).split('\n').filter((line) => line !== '')
  const rows = lines.map((line) => JSON.parse(line) as QualityRow)
  return [...new Map(rows.map((row) => [`${row.sample} ${row.rival} ${row.text}`, row])).values()]
}

function print(rows: readonly QualityRow[], { json, markdown }: { readonly json: boolean; readonly markdown: boolean }): void {
  if (json) console.log(JSON.stringify(rows, null, 2))
  else console.log(markdown ? qualityMarkdown(rows) : `\n${qualitySummary(rows)}`)
}

interface Asked {
  readonly model?: string | undefined
  readonly 'calibration-text'?: string[] | undefined
  readonly 'calibration-chunks'?: string | undefined
  readonly text?: string[] | undefined
  readonly real?: boolean | undefined
  readonly samples?: string | undefined
  readonly texts?: string | undefined
}

/** The models that are asked for: any of the user's, real ones, or samples. */
async function subjectsOf(asked: Asked): Promise<QualitySubject[]> {
  const { model, 'calibration-text': calibration = [], 'calibration-chunks': chunks, text = [] } = asked
  if (asked.real === true) {
    const names = oneOf('real model', realNames, asked.samples)
    return await realSubjects(undefined, { names, texts: oneOf('text', realTexts, asked.texts) })
  }
  if (model !== undefined) {
    if (calibration.length === 0 || text.length === 0)
      throw new Error('--model needs --calibration-text FILE and --text NAME=FILE')
    const most = chunks === undefined ? undefined : positiveOf('calibration-chunks', chunks)
    return [await modelSubject(model, calibration, text, most)]
  }
  const texts = oneOf('text', textNames, asked.texts)
  return await Promise.all(oneOf('sample', sampleNames, asked.samples).map((name) => sampleSubject(name, texts)))
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
