import { MqError } from '../../errors/index.js'
import {
  type Blueprint,
  type BlueprintTensor,
  type RowChange,
  rowChanges,
  sizeText,
  type Widths,
  widen,
} from '../../model/index.js'

/** Rows that grow by more take more bytes in IQ1_S (1.5625 bits per weight) than in F16 as they are. */
const maxGrowth = 16 / 1.5625

/** Widths to advise a user to widen. */
export interface WideningAdvice {
  /** As `--widen` takes them, with the roles of the tensors: `hidden_size=768 (embedding, attention-qkv)`; empty where there are none. */
  readonly text: string
  /** The widened model; the model as it is where there are no widths. */
  readonly model: Blueprint
}

/**
 * Finds the widths that would make the rows of tensors whole blocks of 256 and can be widened.
 * @param bytesOf size of a form of the model: a width by which it does not fall is left out. Without it widths that grow by a factor of at
 *   most `maxGrowth` are advised, whatever the size.
 */
export function wideningAdvice(
  blueprint: Blueprint,
  tensors: readonly BlueprintTensor[],
  bytesOf?: (model: Blueprint) => number,
): WideningAdvice {
  const texts: string[] = []
  let widths: Widths = {}
  let model = blueprint
  let bytes = bytesOf?.(blueprint) ?? 0
  for (const { change, roles } of changesWithRoles(blueprint, tensors)) {
    const wider: Widths = { ...widths, [change.key]: change.to }
    const wide = widenedOrNot(blueprint, wider)
    const wideBytes = wide && bytesOf?.(wide)
    if (wide === undefined || (wideBytes !== undefined && wideBytes >= bytes)) continue
    ;[widths, model, bytes] = [wider, wide, wideBytes ?? 0]
    texts.push(`${change.name}=${sizeText(change.to)} (${[...roles].join(', ')})`)
  }
  return { text: texts.join(', '), model }
}

/** The changes of widths that tensors need, each once, with the roles of the tensors that need it. */
function changesWithRoles(
  blueprint: Blueprint,
  tensors: readonly BlueprintTensor[],
): Iterable<{ readonly change: RowChange; readonly roles: Set<string> }> {
  const changeOf = rowChanges(blueprint)
  const found = new Map<string, { change: RowChange; roles: Set<string> }>()
  for (const tensor of tensors) {
    const change = changeOf(tensor)
    if (change === undefined || change.growth > maxGrowth) continue
    const entry = found.get(change.key) ?? { change, roles: new Set() }
    entry.roles.add(tensor.role)
    found.set(change.key, entry)
  }
  return found.values()
}

function widenedOrNot(blueprint: Blueprint, widths: Widths): Blueprint | undefined {
  try {
    return widen(blueprint, widths)
  } catch (error) {
    if (error instanceof MqError && error.code === 'WIDTH_FIXED') return undefined
    throw error
  }
}
