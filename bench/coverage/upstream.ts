import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { foreign } from '../foreign.js'

/** A checkpoint for llama.cpp's converter. */
export interface UpstreamCase {
  readonly folder: string
  /** What its pre-tokenizer is called: the converter knows it by a hash of the published vocabulary. */
  readonly pre: string
  /** Types to convert to; the file is FOLDER.TYPE.gguf. */
  readonly types: readonly string[]
  readonly options: readonly string[]
}

/**
 * Converts every checkpoint in a process of its own, forked when all is imported: some classes of the converter keep state. What goes
 * wrong is written beside the outcome, with the end of the converter's own messages.
 */
const script = `
import json, os, runpy, sys, traceback
sys.path.insert(1, '/usr/share/llama.cpp/llama.cpp-tools')
import transformers, torch, sentencepiece, gguf
import conversion, conversion.base
torch.set_num_threads(1)
conversion.load_all_models()
from transformers import AutoTokenizer
import transformers.models.auto.modeling_auto
cases = json.load(open('cases.json'))
for case in cases:
    # Imports what a configuration needs, which takes seconds, once for all.
    try:
        conversion.base.ModelBase.load_hparams(conversion.base.Path(case['folder']), False)
    except Exception:
        pass
converter = '/usr/share/doc/llama.cpp-tools/scripts/convert_hf_to_gguf.py'
for case in cases:
    for kind in case['types']:
        out = f"{case['folder']}.{kind}"
        child = os.fork()
        if child == 0:
            log = os.open(out + '.log', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1); os.dup2(log, 2)
            conversion.base.TextModel.get_vocab_base_pre = lambda self, tokenizer: case['pre']
            sys.argv = ['convert', case['folder'], '--outtype', kind, '--outfile', out + '.gguf', *case['options']]
            status = 0
            try:
                runpy.run_path(converter, run_name='__main__')
            except BaseException as error:
                if not (isinstance(error, SystemExit) and error.code in (0, None)):
                    traceback.print_exc()
                    line = traceback.extract_tb(error.__traceback__)[-1]
                    open(out + '.failed', 'w').write(f"{type(error).__name__}: {error} ({os.path.basename(line.filename)}:{line.lineno})")
            sys.stdout.flush(); sys.stderr.flush()
            os._exit(status)
        os.waitpid(child, 0)
`

/**
 * Runs llama.cpp's converter on folders below `folder`.
 * @returns for each case and type what went wrong, if anything did: key FOLDER.TYPE.
 */
export async function convertUpstream(folder: string, cases: readonly UpstreamCase[]): Promise<ReadonlyMap<string, string>> {
  await writeFile(join(folder, 'cases.json'), JSON.stringify(cases))
  await writeFile(join(folder, 'convert.py'), script)
  const minutes = 2 + cases.length
  await foreign.run('python3', ['convert.py'], { cwd: folder, timeout: minutes * 60_000, env: { OMP_NUM_THREADS: '1' } })
  const failures = new Map<string, string>()
  for (const { folder: name, types } of cases) {
    for (const type of types) {
      const failure = await readFile(`${name}.${type}.failed`, 'utf8').catch(() => undefined)
      if (failure !== undefined) failures.set(`${name}.${type}`, failure)
    }
  }
  return failures
}
