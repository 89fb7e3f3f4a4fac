import { MqError } from '../../errors/index.js'
import { writeWhole } from '../../files/index.js'
import type { Markup } from '../../report/index.js'
import type { DryRun } from './dry-run.js'
import type { DrawnPlan } from './picture.js'

/**
 * Refuses a picture's name before any work is done.
 * @throws MqError OPTION_INVALID.
 */
export function checkPictureName(path: string): void {
  if (/\.(?:svg|html?)$/i.test(path)) return
  const problem = 'its name ends neither in .svg nor in .html'
  throw MqError.of('OPTION_INVALID', { option: 'picture', value: path, problem })
}

/** Writes the picture of a plan: as SVG, or as a page, whichever its name says. It has its name when it is whole. */
export async function writePicture(path: string, plan: DryRun, title: string): Promise<void> {
  // Loaded here: most plans are not drawn.
  const { planPage, planPicture } = await import('./picture.js')
  const text = /\.svg$/i.test(path) ? planPicture(plan, title).text : planPage(plan, title)
  await writeWhole(path, text)
}

/** The picture of a plan, or of a file's tensors, as SVG to put into a page. */
export async function drawPlan(plan: DrawnPlan, title: string): Promise<Markup> {
  return (await import('./picture.js')).planPicture(plan, title)
}
