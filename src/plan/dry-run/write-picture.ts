import { writeWholeFile } from '../../../formats/whole-file.js'
import { MqError } from '../../errors/index.js'
import type { DryRun } from './dry-run.js'
import { planPage, planPicture } from './picture.js'

/**
 * Refuses a picture's name before any work is done.
 * @throws MqError FLAG_INVALID.
 */
export function checkPictureName(path: string): void {
  if (/\.(?:svg|html?)$/i.test(path)) return
  throw MqError.of('FLAG_INVALID', {
    flag: 'picture',
    value: path,
    problem: 'its name ends neither in .svg nor in .html',
    command: 'plan',
  })
}

/** Writes the picture of a plan: as SVG, or as a page, whichever its name says. It has its name when it is whole. */
export async function writePicture(path: string, plan: DryRun, title: string): Promise<void> {
  const text = /\.svg$/i.test(path) ? planPicture(plan, title).text : planPage(plan, title)
  try {
    await writeWholeFile(path, (append) => append(Buffer.from(text)))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOSPC') throw MqError.from(error, path)
    const problem = code === 'ENOENT' ? 'its folder does not exist' : String(code)
    throw MqError.of('FILE_UNWRITABLE', { path, problem }, { cause: error })
  }
}
