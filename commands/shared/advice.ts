import type { MqError } from '../../src/errors/index.js'

/**
 * What to do about an error, in flags: of several, the first whose flags the called command has. Where there is none, the suggestion of
 * the library stands. Flags within backticks belong to the command that is named there.
 */
export const advice: Partial<Record<MqError['code'], readonly string[]>> = {
  GGML_TYPE_UNKNOWN: [
    '`mq plan --list` shows the supported types. A GGUF file in another type has to be made again from the checkpoint.',
  ],
  LOGITS_INVALID: ['Create it again with `mq verify --save-logits` or `llama-perplexity --kl-divergence-base`.'],
  PRE_TOKENIZER_UNKNOWN: [
    'If you know its name in llama.cpp, give it with --pre, such as --pre llama-bpe.',
    'If you know its name in llama.cpp, convert the checkpoint with `mq convert --pre`, and give the GGUF file.',
  ],
  ARCHITECTURE_UNKNOWN: ['Closest of {count} supported architectures: {nearest}. `mq plan --list` shows all.'],
  OUTPUT_EXISTS: ['Remove it, choose another name, or use --force.'],
  DISK_FULL: [
    'Free disk space and run the same command again, or use another disk: --output for the file, TMPDIR for temporary files.',
    'Free disk space and run the same command again, or use another disk: --registry for the registry, TMPDIR for temporary files.',
  ],
  PLAN_MISMATCH: ['Create the plan again with `mq plan`, from this model and with the same --lora.'],
  MEMORY_TOO_SMALL: ['Set --memory to at least {least} (bytes).'],
  TENSOR_OVERFLOW: ['Use BF16 or F32 for it, with --tensor-type.', 'Use BF16 or F32, with --type.'],
  CALIBRATION_MISMATCH: [
    'Create the files to merge from one model, with the same `mq imatrix --rank`; a rank of 0 stores the importance matrix only.',
  ],
  BUDGET_IMPOSSIBLE: ['Raise the budget, relax --floor, --tie or --tensor-type, or, with --fit, lower --ctx{widening}.'],
  FOOTPRINT_UNKNOWN: ['Use --size or --bits instead of --fit.'],
  LLAMA_MISSING: [
    'Run `npm install` again, on a supported platform, or name the folder of the llama.cpp programs with --llama-dir.',
  ],
  TEXT_TOO_SHORT: ['Use a longer text, or a smaller --ctx.'],
  TEXT_TOO_LARGE: ['Use a part of the file; of a text, --chunks reads the beginning only.'],
  PROMPT_TOO_LONG: ['Use a larger --ctx, or a shorter prompt.'],
  ARCHITECTURE_TOO_NEW: ['Use a llama-server of that version, with --engine llama-server.'],
  MODEL_UNSUITED: ['Use a model that supports this, or set --pooling.'],
  CHAT_TEMPLATE_INVALID: ['Use --raw to send the prompt without a chat template.'],
  REPORT_MISMATCH: ['Run `mq verify` on the file again, or use --force.'],
  TARGET_MISSING: ['Install or start it, or name its folder of models with --to-dir.'],
  REPO_INCOMPLETE: ['Its upload may not be finished: try again later, or name the files to fetch with --include.'],
  REGISTRY_CORRUPT: [
    '`mq registry fsck --repair` looks for copies of what is damaged; where the list of tags is, `mq publish --force` starts over.',
  ],
  REGISTRY_DAMAGED: [
    '`mq registry fsck --repair --from FOLDER` takes copies from elsewhere; what has none has to be published again.',
  ],
  CACHE_DAMAGED: ['`mq cache check --repair` removes them; they are downloaded again when they are next needed.'],
  FARM_FOLDER: ['Mount the work folder of the build on this machine, and name it with --work where its path differs.'],
  PORT_TAKEN: ['Choose another port with --port; 0 selects a free one.'],
}

/** The suggestion of an error for a command; undefined where that of the library stands. @param flags of the command. */
export function adviceFor({ code }: MqError, flags: ReadonlySet<string>): string | undefined {
  return advice[code]?.find((text) => flagsIn(text).every((flag) => flags.has(flag)))
}

/** Names of the flags of the called command in a text: those outside of backticks. */
function flagsIn(text: string): string[] {
  return [...text.replaceAll(/`[^`]*`/g, '').matchAll(/(?<![\w-])--([a-z][\w-]*)/g)].map(([, name = '']) => name)
}
