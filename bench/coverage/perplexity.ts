import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { finish, type LlamaModel, loadModel } from '../../src/index.js'
import { foreign } from '../foreign.js'
import { kinScript } from './kin.js'

/** Tokens of a chunk; the second half is scored. */
export const contextLength = 64
const chunks = 4

/** Keys and values as they are: where they are rounded to F16, a token goes to another expert now and then. */
const exact = { flashAttention: 'off', keyType: 'f32', valueType: 'f32' } as const

/** What llama.cpp says of a file: its perplexity, or why it does not load. */
export interface Loaded {
  readonly perplexity?: number
  /** Of an encoder, in place of the perplexity: the mean of the vectors of all tokens, of length 1. */
  readonly vector?: readonly number[]
  /** Token ids of the text, for those who compute the same otherwise. */
  readonly ids?: readonly number[]
  /** The token that stands before each chunk, if one does. */
  readonly bos?: number | null
  readonly failure?: string
}

/**
 * Loads a GGUF file with the embedded llama.cpp and measures its perplexity, or computes an embedding of a model that predicts no tokens; loads
 * it with the foreign one where the embedded refuses it.
 */
export async function loadAndMeasure(model: string, text: string, what: 'load' | 'perplexity' | 'embedding'): Promise<Loaded> {
  let failure: string
  try {
    const pooling = what === 'embedding' ? ({ pooling: 'mean' } as const) : {}
    await using loaded = await loadModel(model, { threads: 2, contextLength: 4 * contextLength, ...exact, ...pooling })
    if (what === 'load') return {}
    if (what === 'embedding') return await embeddingOf(loaded, text)
    const ids = [...(await loaded.tokenize(text, { special: true }))]
    const [plain] = await loaded.tokenize(text)
    const bos = ids[0] === plain ? null : (ids[0] ?? null)
    const { perplexity } = await finish(loaded.perplexity(text, { contextLength, chunks }))
    return { perplexity, ids, bos }
  } catch (error) {
    failure = (error as Error).message
  }
  if (!foreign.available || !foreign.has('llama-perplexity')) return { failure }
  if (what !== 'perplexity') return await loadForeign(model, failure)
  const folder = join(model, '..')
  await writeFile(join(folder, 'text.txt'), text)
  const args = [
    '-m',
    model,
    '-f',
    'text.txt',
    '-c',
    `${contextLength}`,
    '-b',
    `${contextLength}`,
    '--chunks',
    `${chunks}`,
    '-t',
    '2',
    '-fa',
    'off',
    '-ctk',
    'f32',
    '-ctv',
    'f32',
  ]
  try {
    const { stdout, stderr } = await foreign.run('llama-perplexity', args, { cwd: folder, timeout: 120_000 })
    const found = /Final estimate: PPL = ([\d.]+)/.exec(stdout + stderr)
    return found === null ? { failure } : { perplexity: Number(found[1]) }
  } catch {
    return { failure }
  }
}

/** The embedding of a text of some hundred tokens; nothing where the embedded llama.cpp crashes at it. */
async function embeddingOf(model: LlamaModel, text: string): Promise<Loaded> {
  try {
    const ids = (await model.tokenize(text, { special: true })).slice(0, 2 * contextLength)
    const { vectors } = await model.embed([ids])
    return { ids: [...ids], vector: [...(vectors[0] as Float32Array)], bos: null }
  } catch {
    return {}
  }
}

/** Whether the foreign llama.cpp loads a file, and passes eight tokens through it, or writes two where it has an encoder and a decoder. */
async function loadForeign(model: string, failure: string): Promise<Loaded> {
  const passes = [
    ['llama-bench', '-p', '8', '-n', '0', '-r', '1', '-embd', '1', '--no-warmup'],
    ['llama-completion', '-p', 'In the beginning', '-n', '2', '-no-cnv', '--no-warmup'],
  ] as const
  for (const [program, ...args] of passes) {
    try {
      await foreign.run(program, ['-m', model, '-t', '2', ...args], { cwd: join(model, '..'), timeout: 60_000 })
      return {}
    } catch {}
  }
  return { failure }
}

/** What transformers says of a checkpoint: perplexity, or why it has none; and where the checkpoint is not as the class expects it. */
export interface Forward {
  readonly perplexity?: number
  /** One minus the cosine of the angle between our embedding and transformers'. */
  readonly distance?: number
  readonly failure?: string
  readonly loading?: string
  /** Of transformers. */
  readonly version?: string
}

const script = `
import json, math, os, sys
import torch, transformers
import transformers.models.auto.modeling_auto, transformers.generation
torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
${kinScript}
context, chunks = int(sys.argv[1]), int(sys.argv[2])
for case in json.load(open('forward.json')):
    child = os.fork()
    if child == 0:
        log = os.open(case['folder'] + '.forward.log', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1); os.dup2(log, 2)
        out = {'version': transformers.__version__}
        try:
            if case['name'] in kin:
                model, info = load_kin(case['name'], case['folder'])
            else:
                cls = getattr(transformers, case['className'], None) or (transformers.AutoModel if case.get('vector') else transformers.AutoModelForCausalLM)
                model, info = cls.from_pretrained(case['folder'], dtype=torch.float32, output_loading_info=True, attn_implementation='eager', ignore_mismatched_sizes=True)
            odd = [f"{kind} {sorted(map(str, info[kind]))[:3]}" for kind in ('missing_keys', 'unexpected_keys', 'mismatched_keys') if info[kind]]
            if odd: out['loading'] = '; '.join(odd)
            ids = case['ids']
            if case.get('vector'):
                model.eval()
                with torch.no_grad():
                    states = model.base_model(torch.tensor([ids])).last_hidden_state[0].double().mean(0)
                out['distance'] = 1 - torch.nn.functional.cosine_similarity(states, torch.tensor(case['vector']).double(), dim=0).item()
            elif ids:
                model.eval()
                total, count = 0.0, 0
                for chunk in range(min(chunks, len(ids) // context)):
                    part = list(ids[chunk * context:(chunk + 1) * context])
                    if case['bos'] is not None: part[0] = case['bos']
                    with torch.no_grad():
                        logits = model(torch.tensor([part]), use_cache=False).logits[0].double()
                    scores = torch.log_softmax(logits, -1)
                    for at in range(context // 2, context - 1):
                        total -= scores[at, part[at + 1]].item(); count += 1
                out['perplexity'] = math.exp(total / count)
        except BaseException as error:
            import traceback; traceback.print_exc()
            out['failure'] = f"{type(error).__name__}: {error}"[:200]
        json.dump(out, open(case['folder'] + '.forward.json', 'w'))
        os._exit(0)
    os.waitpid(child, 0)
`

/** A checkpoint, and the token ids to run it on. */
export interface ForwardCase extends Pick<Loaded, 'vector'> {
  readonly folder: string
  readonly name: string
  readonly className: string
  readonly ids: readonly number[]
  readonly bos: number | null
}

/**
 * Runs transformers' own forward pass, at f32, over token ids as llama-perplexity does.
 * @param python that has transformers; by default the foreign root's.
 * @returns the outcome by folder.
 */
export async function forwardPasses(
  folder: string,
  cases: readonly ForwardCase[],
  python?: string,
): Promise<ReadonlyMap<string, Forward>> {
  await writeFile(join(folder, 'forward.json'), JSON.stringify(cases))
  await writeFile(join(folder, 'forward.py'), script)
  const args = ['forward.py', `${contextLength}`, `${chunks}`]
  const options = { cwd: folder, timeout: (2 + cases.length) * 60_000, env: { OMP_NUM_THREADS: '1' } }
  await (python === undefined ? foreign.run('python3', args, options) : execa(python, args, options))
  const found = new Map<string, Forward>()
  for (const { folder: name } of cases) {
    const text = await readFile(`${name}.forward.json`, 'utf8').catch(() => undefined)
    found.set(name, text === undefined ? { failure: 'it crashed' } : (JSON.parse(text) as Forward))
  }
  return found
}
