// Two lint rules. Imports go up this list of folders, never down, and another folder is entered through its index.ts. Commands import from
// the faces of the folders that they use, so that each loads no more than it needs, and only what src/index.ts exports, too: what a command
// does, a script can do.
import { readFileSync } from 'node:fs'
import { dirname, posix, relative, resolve, sep } from 'node:path'

const root = resolve(import.meta.dirname ?? dirname(new URL(import.meta.url).pathname), '..')

/** Lowest first. Folders of one line do not import each other. */
const layers = [
  ['formats'],
  ['src/errors', 'src/collections'],
  ['src/progress', 'src/http'],
  ['src/files'],
  ['src/terminal'],
  ['src/report'],
  ['src/recipe', 'src/runner', 'src/hub'],
  ['src/model/checkpoint'],
  ['src/model', 'src/model/inspect'],
  ['src/footprint', 'src/covariance'],
  ['src/engine'],
  ['src/calibration'],
  ['src/plan'],
  ['src/quantize'],
  ['src/verify'],
  ['src/registry'],
  ['src/serve', 'src/build', 'src/chat', 'src/speed', 'src/doctor'],
  ['src/farm'],
  ['src'],
  ['commands', 'bench'],
  ['samples', 'test'],
]

const levels = new Map(layers.flatMap((folders, level) => folders.map((folder) => [folder, level])))

/** The folder of the list that a path belongs to: of nested ones, the inner. */
function folderOf(path) {
  return [...levels.keys()]
    .filter((folder) => path === folder || path.startsWith(`${folder}/`))
    .toSorted((a, b) => b.length - a.length)[0]
}

/** What is wrong with an import between two files, as paths from the root with "/"; undefined where nothing is. */
export function importProblem(from, to) {
  const [source, target] = [folderOf(from), folderOf(to)]
  if (source === undefined || target === undefined || source === target) return undefined
  if (levels.get(target) >= levels.get(source)) {
    const below = levels.get(target) === levels.get(source) ? 'stands beside it' : 'stands above it'
    return `${source} must not import from ${target}, which ${below} in .lint/layers.js.`
  }
  // Each file of src itself is one step of the library.
  const isFace = to === `${target}/index.js` || to === `${target}/index.ts` || target === 'src'
  // formats/ is a set of small libraries, each entered by its own files; tests and benches look inside what they test.
  const free = target === 'formats' || source === 'test' || source === 'bench'
  return isFace || free ? undefined : `${target} is entered through ${target}/index.ts.`
}

const order = {
  create(context) {
    const file = relative(root, context.filename ?? context.getFilename())
      .split(sep)
      .join(posix.sep)
    const check = (node) => {
      const specifier = node.source?.value
      if (typeof specifier !== 'string' || !specifier.startsWith('.')) return
      const problem = importProblem(file, posix.normalize(posix.join(posix.dirname(file), specifier)))
      if (problem !== undefined) context.report({ node, message: problem })
    }
    return { ImportDeclaration: check, ExportNamedDeclaration: check, ExportAllDeclaration: check, ImportExpression: check }
  },
}

/** Names of src/index.ts by the file that they come from, as a path from the root, and their names there. */
function libraryNames() {
  const text = readFileSync(resolve(root, 'src/index.ts'), 'utf8')
  const names = [...text.matchAll(/export (?:type )?\{([^}]*)\} from '([^']+)'/g)].flatMap(([, list, from]) =>
    list.split(',').map(
      (name) =>
        `${posix.normalize(posix.join('src', from))} ${
          name
            .trim()
            .replace(/^type /, '')
            .split(' as ')[0]
        }`,
    ),
  )
  return new Set(names)
}

let known

const library = {
  create(context) {
    const file = relative(root, context.filename ?? context.getFilename())
      .split(sep)
      .join(posix.sep)
    if (!file.startsWith('commands/')) return {}
    const check = (node) => {
      if (!node.source.value.startsWith('.')) return
      const from = posix.normalize(posix.join(posix.dirname(file), node.source.value))
      if (!/^(?:src|formats)\//.test(from)) return
      known ??= libraryNames()
      for (const { imported } of node.specifiers) {
        if (imported === undefined || known.has(`${from} ${imported.name}`)) continue
        context.report({ node, message: `${imported.name} of ${from} is not exported by src/index.ts.` })
      }
    }
    return { ImportDeclaration: check }
  },
}

export default { meta: { name: 'layers' }, rules: { order, library } }
