import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { type CheckpointSpec, writeCheckpointOf } from './checkpoints/index.js'
import { convertOurs } from './ours.js'
import { type Forward, type ForwardCase, forwardPasses, loadAndMeasure } from './perplexity.js'
import { projectRoot } from './root.js'

/** What became of a model that transformers built and saved. */
export interface SavedRow {
  readonly class: string
  /** Name of the checkpoint whose sizes and tokenizer it has. */
  readonly name: string
  /** `not saved`: this transformers has no such class, or does not build it. */
  readonly state: 'agrees' | 'differs' | 'loads' | 'does not load' | 'refused' | 'not saved'
  readonly detail?: string
  readonly ppl?: number
  readonly transformersPpl?: number
}

export interface SavedOptions {
  readonly specs: readonly CheckpointSpec[]
  /** Python with torch and the transformers that is to save. */
  readonly python: string
  readonly say: (text: string) => void
}

/** Relative difference of perplexities up to which two forward passes agree. */
const tolerance = 1e-3

/** Random weights by name, with norms around what they begin as, and biases around 0, so that a swap shows; a process for each model. */
const script = `
import json, math, os, re, sys, zlib
import torch, transformers
import transformers.models.auto.modeling_auto, transformers.generation
torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
def fill(name, value, seed):
    noise = torch.randn(value.shape, generator=torch.Generator().manual_seed(zlib.crc32((seed + '/' + name).encode())))
    low = name.lower()
    with torch.no_grad():
        if re.search(r'a_log$|dt_bias|\\.d$|dt_proj\\.bias', low): value.add_(noise * .1)
        elif low.endswith('bias'): value.copy_(noise * .1)
        elif value.ndim < 2 or 'norm' in low.split('.')[-2]: value.add_(noise * .1)
        elif value.ndim == 3 and 'conv' in low: value.copy_(noise * .4)
        elif re.search(r'emb|wte|wpe|lm_head', low): value.copy_(noise * .25)
        else: value.copy_(noise * .7 / math.sqrt(value.shape[-1]))
def save(case):
    cls = getattr(transformers, case['className'])
    model = cls(cls.config_class.from_pretrained(case['folder'])).float()
    for name, value in model.named_parameters(): fill(name, value, case['name'])
    for name, value in model.named_buffers():
        if re.search(r'correction|scalar|expert_bias', name) and value.is_floating_point(): fill(name, value, case['name'])
    model.to(torch.bfloat16).save_pretrained(case['out'])
for case in json.load(open('saved.json')):
    child = os.fork()
    if child == 0:
        log = os.open(case['out'] + '.log', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1); os.dup2(log, 2)
        try: save(case)
        except BaseException as error: open(case['out'] + '.failed', 'w').write(f'{type(error).__name__}: {error}'[:200])
        os._exit(0)
    os.waitpid(child, 0)
`

interface Case {
  readonly spec: CheckpointSpec
  readonly className: string
  readonly folder: string
  readonly out: string
}

/**
 * Lets transformers build tiny models of the specifications' classes and save them (save_pretrained), converts them, and compares
 * perplexities in llama.cpp with transformers' own forward pass.
 */
export async function benchSaved({ specs, python, say }: SavedOptions): Promise<SavedRow[]> {
  const parent = await mkdtemp(join(tmpdir(), 'mq-saved-'))
  try {
    const cases: Case[] = []
    for (const spec of specs.filter(({ mistralFormat }) => mistralFormat !== true)) {
      for (const className of spec.classes) {
        const folder = await writeCheckpointOf(spec, join(parent, className), className)
        cases.push({ spec, className, folder, out: `${folder}.saved` })
      }
    }
    await writeFile(join(parent, 'saved.py'), script)
    await writeFile(join(parent, 'saved.json'), JSON.stringify(cases.map((item) => ({ ...item, name: item.spec.name }))))
    say(`transformers builds ${cases.length} models`)
    await execa(python, ['saved.py'], { cwd: parent, env: { OMP_NUM_THREADS: '1' } })
    const text = (await readFile(join(projectRoot, 'samples', 'text', 'kjv-heldout.txt'), 'utf8')).slice(0, 2000)
    const measured: Measured[] = []
    for (const item of cases) {
      say(item.className)
      measured.push(await measure(item, text))
    }
    const jobs = measured.flatMap(({ job }) => job ?? [])
    const forward = await forwardPasses(parent, jobs, python)
    return measured.map(({ row, job }) => (job === undefined ? row : compared(row, forward.get(job.folder))))
  } finally {
    await rm(parent, { recursive: true, force: true })
  }
}

interface Measured {
  readonly row: SavedRow
  /** For transformers' forward pass, where there is something to compare with. */
  readonly job?: ForwardCase
}

async function measure({ spec, className, folder, out }: Case, text: string): Promise<Measured> {
  const row = { class: className, name: spec.name }
  const failed = await readFile(`${out}.failed`, 'utf8').catch(() => undefined)
  if (failed !== undefined) return { row: { ...row, state: 'not saved', detail: failed } }
  for (const file of await readdir(folder)) {
    if (file !== 'config.json' && !file.endsWith('.safetensors'))
      await cp(join(folder, file), join(out, file), { recursive: true })
  }
  const output = `${out}.gguf`
  const { f32: refusal } = await convertOurs(out, { f32: output }, spec.options?.mq)
  if (refusal !== undefined) return { row: { ...row, state: 'refused', detail: `${refusal.code}: ${refusal.message}` } }
  const what = spec.encoder === true ? 'load' : 'perplexity'
  const { perplexity: ppl, ids, bos = null, failure } = await loadAndMeasure(output, text, what)
  if (failure !== undefined) return { row: { ...row, state: 'does not load', detail: failure } }
  if (ppl === undefined || ids === undefined) return { row: { ...row, state: 'loads' } }
  return { row: { ...row, state: 'loads', ppl }, job: { folder: out, name: `saved ${spec.name}`, className, ids, bos } }
}

function compared(row: SavedRow, forward: Forward | undefined): SavedRow {
  const { perplexity: transformersPpl, failure } = forward ?? {}
  if (transformersPpl === undefined) return { ...row, detail: failure ?? 'transformers has no forward pass' }
  const agrees = Math.abs((row.ppl ?? 0) / transformersPpl - 1) < tolerance
  return { ...row, state: agrees ? 'agrees' : 'differs', transformersPpl }
}

/** A line for each model, and how many agree. */
export function savedText(rows: readonly SavedRow[]): string {
  const lines = rows.map(({ class: name, name: spec, state, ppl, transformersPpl, detail }) =>
    [
      name,
      spec,
      state,
      [ppl, transformersPpl].map((value) => value?.toFixed(3) ?? '-').join('/'),
      ...(detail === undefined ? [] : [detail]),
    ].join(', '),
  )
  const saved = rows.filter(({ state }) => state !== 'not saved')
  return [...lines, `${saved.filter(({ state }) => state === 'agrees').length} of ${saved.length} agree`].join('\n')
}
