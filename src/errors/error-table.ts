import type { FormatErrorCode } from '../../formats/format-error.js'

/** Exit statuses, by what went wrong. */
export const exitStatus = {
  /** The command line asks for something that cannot be. */
  usage: 2,
  /** The input is not what it should be. */
  input: 3,
  /** The machine does not give what is needed: disk, permission, a program. */
  environment: 4,
  /** A gate was not passed. */
  gate: 5,
  /** A hub or registry does not answer as it should. */
  network: 6,
  /** Ctrl-C. */
  interrupted: 130,
} as const

interface ErrorEntry {
  readonly exit: keyof typeof exitStatus
  /** What was wrong and where; `{name}` is filled from the details. */
  readonly message: string
  /** What to do about it. */
  readonly suggestion: string
}

type Table = Readonly<Record<string, ErrorEntry>>

const formatErrors = {
  INPUT_TRUNCATED: {
    exit: 'input',
    message: '{file} ends early: {wanted} bytes are needed, {present} are there.',
    suggestion: 'Download or copy the file again.',
  },
  LFS_POINTER: {
    exit: 'input',
    message: '{file} is a Git LFS pointer: the file itself was not downloaded.',
    suggestion: 'Run `git lfs pull` in its repository, or download the file again.',
  },
  SAFETENSORS_INVALID: {
    exit: 'input',
    message: '{file} is not a valid safetensors file: {problem}.',
    suggestion: 'Download or export the file again.',
  },
  SAFETENSORS_INDEX_INVALID: {
    exit: 'input',
    message: '{file} does not match its shards: {problem}.',
    suggestion: 'Download the missing shards, or remove those that do not belong.',
  },
  GGUF_INVALID: {
    exit: 'input',
    message: '{file} is not a valid GGUF file: {problem}.',
    suggestion: 'Download or make the file again.',
  },
  GGUF_UNSUPPORTED: {
    exit: 'input',
    message: '{file} is a GGUF file that cannot be used here: {problem}.',
    suggestion: 'Convert the original checkpoint instead.',
  },
  GGML_TYPE_UNKNOWN: {
    exit: 'input',
    message: '{type} is not a type known to {where}.',
    suggestion: '`mq plan --help` lists the types.',
  },
  GGML_ROW_MISALIGNED: {
    exit: 'input',
    message: 'Rows of {rowLength} values cannot be stored as {type}, whose blocks hold {blockSize}.',
    suggestion: 'Choose a type with smaller blocks for this tensor, such as Q8_0 or F16.',
  },
  IMATRIX_INVALID: {
    exit: 'input',
    message: '{file} is not a valid importance matrix: {problem}.',
    suggestion: 'Make it again, in the GGUF form.',
  },
  LOGITS_INVALID: {
    exit: 'input',
    message: '{file} is not a valid file of base logits: {problem}.',
    suggestion: 'Make it again with `mq verify --save-logits` or `llama-perplexity --kl-divergence-base`.',
  },
  TOKENIZER_INVALID: {
    exit: 'input',
    message: '{file} is not a valid tokenizer: {problem}.',
    suggestion: 'Download the file again.',
  },
  TOKENIZER_UNSUPPORTED: {
    exit: 'input',
    message: '{file} holds a tokenizer that cannot be converted yet: {problem}.',
    suggestion: 'BPE tokenizers from tokenizer.json are supported.',
  },
  PRE_TOKENIZER_UNKNOWN: {
    exit: 'input',
    message: 'The pre-tokenizer of {file} is not one that llama.cpp knows: {problem}.',
    suggestion: 'If you know which it is, name it with --pre, such as --pre llama-bpe.',
  },
} as const satisfies Record<FormatErrorCode, ErrorEntry>

export const toolErrors = {
  // The command line
  USAGE: { exit: 'usage', message: '{problem}.', suggestion: 'See `mq {command} --help`.' },
  FLAG_INVALID: { exit: 'usage', message: '--{flag} {value}: {problem}.', suggestion: 'See `mq {command} --help`.' },
  FLAGS_CONFLICT: { exit: 'usage', message: '{problem}.', suggestion: 'See `mq {command} --help`.' },
  PRESET_UNKNOWN: { exit: 'usage', message: 'There is no preset {preset}.', suggestion: 'Presets are: {known}.' },
  MIXTURE_UNKNOWN: {
    exit: 'usage',
    message: 'There is no mixture {mixture}.',
    suggestion: 'Mixtures are: {known}. A file of your own is named by its path.',
  },
  NAME_INVALID: {
    exit: 'usage',
    message: '{name} does not name a model: {problem}.',
    suggestion: 'Write NAMESPACE/NAME or NAMESPACE/NAME:TAG, in letters, digits, ".", "_" and "-".',
  },

  // Files
  FILE_MISSING: { exit: 'input', message: '{path} does not exist.', suggestion: 'Check the path.' },
  FILE_UNREADABLE: {
    exit: 'environment',
    message: '{path} cannot be read: {problem}.',
    suggestion: 'Check the path and its permissions.',
  },
  LINK_DANGLING: {
    exit: 'input',
    message: '{path} is a symbolic link to {target}, which does not exist.',
    suggestion: 'Download the file again, or correct the link.',
  },
  FILE_UNWRITABLE: {
    exit: 'environment',
    message: '{path} cannot be written: {problem}.',
    suggestion: 'Check the folder and its permissions.',
  },
  OUTPUT_EXISTS: {
    exit: 'usage',
    message: '{path} exists already.',
    suggestion: 'Remove it, choose another name, or pass --force.',
  },
  OUTPUT_BUSY: {
    exit: 'environment',
    message: '{path} is being written by another process.',
    suggestion: 'Wait for it to end. If it has ended, on another machine, remove {lock}.',
  },
  DISK_FULL: {
    exit: 'environment',
    message: '{path} needs {needed} bytes and its disk has {available} free.',
    suggestion: 'Free some space and run the same command again, or write to another disk with -o.',
  },
  MEMORY_TOO_SMALL: {
    exit: 'usage',
    message: '{asked} bytes of memory are not enough.',
    suggestion: 'Give --memory at least {least}.',
  },
  INTERRUPTED: {
    exit: 'interrupted',
    message: 'Stopped before {what} was finished.',
    suggestion: 'Run the same command again to go on.',
  },
  INTERNAL: {
    exit: 'environment',
    message: 'Something that should not happen did: {problem}.',
    suggestion: 'Please report it, with the command; MQ_DEBUG=1 prints where.',
  },

  // Checkpoints
  CHECKPOINT_EMPTY: {
    exit: 'input',
    message: '{path} holds no checkpoint: {problem}.',
    suggestion: 'Point to a folder with config.json and *.safetensors, or to a .gguf file.',
  },
  CHECKPOINT_PICKLED: {
    exit: 'input',
    message: '{file} holds weights as a PyTorch pickle, which can run code when it is read; only safetensors are read.',
    suggestion: 'Save the model again from transformers: `AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(OTHER)`.',
  },
  CHECKPOINT_FILE: {
    exit: 'input',
    message: '{path} is one file of a checkpoint, and the whole folder is needed.',
    suggestion: 'Give the folder {folder}.',
  },
  CONFIG_INVALID: {
    exit: 'input',
    message: '{file} cannot be used: {problem}.',
    suggestion: 'Compare {file} with the same file of the original model, or download it again.',
  },
  ARCHITECTURE_UNKNOWN: {
    exit: 'input',
    message: '{file} names the architecture {architecture}, which is not supported.',
    suggestion: 'Supported are: {known}.',
  },
  STORAGE_UNSUPPORTED: {
    exit: 'input',
    message: '{file} stores its weights as {storage}, which is not supported.',
    suggestion: '{advice}.',
  },
  TENSOR_MISSING: {
    exit: 'input',
    message: 'The checkpoint {path} lacks the tensor {tensor}.',
    suggestion: 'Download the checkpoint again; a shard may be missing.',
  },
  TENSOR_UNEXPECTED: {
    exit: 'input',
    message: 'The checkpoint {path} holds the tensor {tensor}, which {architecture} does not have.',
    suggestion: 'Check that config.json belongs to these weights.',
  },
  TENSOR_SHAPE: {
    exit: 'input',
    message: 'The tensor {tensor} has the shape {shape} where config.json asks for {expected}.',
    suggestion: 'Check that config.json belongs to these weights.',
  },
  TENSOR_NOT_FINITE: {
    exit: 'input',
    message: 'The tensor {tensor} holds NaN or infinite weights (first in row {row}).',
    suggestion: 'The checkpoint is damaged: download or export it again.',
  },
  TENSOR_OVERFLOW: {
    exit: 'input',
    message: 'The tensor {tensor} holds weights too large for {type} (first in row {row}).',
    suggestion: 'Store it as BF16 or F32.',
  },

  // Plans
  PLAN_INVALID: { exit: 'input', message: '{file} is not a valid plan: {problem}.', suggestion: 'Make it again with `mq plan`.' },
  PLAN_MISMATCH: {
    exit: 'input',
    message: 'The plan does not fit this model: {problem}.',
    suggestion: 'Make the plan again with `mq plan`.',
  },
  MIXTURE_INVALID: {
    exit: 'input',
    message: '{file} is not a usable mixture: {problem}.',
    suggestion: 'samples/mixtures/README.md says how one is written.',
  },
  IMPORTANCE_MISMATCH: {
    exit: 'input',
    message: 'The importance matrix does not fit the tensor {tensor}: {problem}.',
    suggestion: 'Make it again from this model with `mq imatrix`.',
  },
  CALIBRATION_MISMATCH: {
    exit: 'input',
    message: '{file} does not go with {first}: {problem}.',
    suggestion:
      'Run `mq imatrix` on the model that is to be quantized. To merge, make both with the same --rank, or with --rank 0 for importance alone.',
  },
  BUDGET_IMPOSSIBLE: {
    exit: 'usage',
    message: 'The model cannot be made as small as {asked}: the least is {least}.',
    suggestion: 'Ask for more, or loosen a --floor, --tie or --tensor-type.',
  },
  FOOTPRINT_UNKNOWN: {
    exit: 'usage',
    message: 'The memory that this model of the architecture {architecture} takes cannot be worked out from its metadata.',
    suggestion: 'Ask for a --size or --bits instead of --fit.',
  },

  // llama.cpp
  LLAMA_MISSING: {
    exit: 'environment',
    message: 'llama.cpp is not there: {problem}.',
    suggestion: 'Run `npm install` again on a supported platform, or point to its programs with --llama-dir.',
  },
  LLAMA_VERSION: {
    exit: 'environment',
    message: 'The llama.cpp library is {found}, and this version works with {expected} alone.',
    suggestion: 'Install the package versions that package.json pins.',
  },
  MODEL_REJECTED: {
    exit: 'input',
    message: 'llama.cpp does not load {file}: {problem}.',
    suggestion: 'Check the file with `mq inspect`, or make it again.',
  },
  LLAMA_CRASHED: {
    exit: 'environment',
    message: 'llama.cpp ended while it {doing}: {problem}.',
    suggestion: 'The file may be damaged, or memory too short.',
  },
  ACTIVATIONS_NOT_FINITE: {
    exit: 'input',
    message: 'What {tensor} is multiplied with became NaN or infinite on this text.',
    suggestion: 'The model is damaged, or of too narrow a type: use one in F32 or BF16.',
  },
  TEXT_TOO_SHORT: {
    exit: 'input',
    message: '{file} has {tokens} tokens, and {needed} are needed.',
    suggestion: 'Give a longer text, or a smaller --ctx.',
  },
  PROMPT_TOO_LONG: {
    exit: 'input',
    message: 'The prompt has {tokens} tokens, and the context holds {contextLength}.',
    suggestion: 'Give a larger --ctx, or a shorter prompt.',
  },
  CHAT_TEMPLATE_INVALID: {
    exit: 'input',
    message: 'The chat template of {file} does not work: {problem}.',
    suggestion: 'Use --raw to send the prompt as it is.',
  },

  // Proof
  GATE_FAILED: {
    exit: 'gate',
    message: '{what} is {value}, and the gate asks for {limit}.',
    suggestion: 'Give the model more bits, or loosen the gate.',
  },
  REFERENCE_MISMATCH: {
    exit: 'input',
    message: '{file} and {reference} do not split the text into the same tokens.',
    suggestion: 'Compare a model with what it was made from.',
  },
  REPORT_INVALID: {
    exit: 'input',
    message: '{file} is not a report of `mq verify`: {problem}.',
    suggestion: 'Run `mq verify` on the model again.',
  },
  REPORT_MISMATCH: {
    exit: 'gate',
    message: '{report} does not belong to {file}, or says that a gate failed.',
    suggestion: 'Run `mq verify` on the file again, or pass --force.',
  },

  // Hubs and registries
  NETWORK: {
    exit: 'network',
    message: '{url} does not answer: {problem}.',
    suggestion: 'Check the address and the connection, and run the command again: it goes on where it stopped.',
  },
  HUB_ANSWER_INVALID: {
    exit: 'network',
    message: '{url} gave an answer that cannot be used: {problem}.',
    suggestion: 'Check that this is the address of a Hugging Face hub or of a registry.',
  },
  REPO_MISSING: {
    exit: 'network',
    message: '{url} has no model {repo}.',
    suggestion: 'Check the name; a private model needs a token (HF_TOKEN).',
  },
  ACCESS_DENIED: {
    exit: 'network',
    message: '{url} does not give access to {repo}: {problem}.',
    suggestion: 'Ask for access on the page of the model, and set HF_TOKEN to a token that may read it.',
  },
  TOKEN_INVALID: {
    exit: 'usage',
    message: '{where} does not hold a token: a token is one line of printable characters without spaces.',
    suggestion: 'Set it again, or remove it to ask without a token.',
  },
  PROXY_INVALID: {
    exit: 'usage',
    message: 'The proxy that {name} names is not an http or https address.',
    suggestion: 'Write it as http://HOST:PORT, or remove it; NO_PROXY lists hosts to reach without it.',
  },
  REPO_INCOMPLETE: {
    exit: 'network',
    message: '{repo} at {url} lacks {file}, a part of the model.',
    suggestion: 'Its upload may not be finished: try again later, or name the files to fetch with --include.',
  },
  DOWNLOAD_CORRUPT: {
    exit: 'network',
    message: '{file} arrived with the wrong content: {problem}.',
    suggestion: 'Run the command again; the damaged part was removed.',
  },
  REGISTRY_CORRUPT: {
    exit: 'input',
    message: 'The registry {path} is damaged: {problem}.',
    suggestion: 'Publish the model again.',
  },
  REGISTRY_BUSY: {
    exit: 'environment',
    message: 'The registry {path} is being written by another process.',
    suggestion: 'Wait for it to end, and run the command again.',
  },
  MODEL_NOT_FOUND: { exit: 'input', message: '{name} is not in {registry}.', suggestion: '`mq registry ls` shows what is.' },
  CACHE_MISSING: { exit: 'input', message: '{name} is not in the cache {cache}.', suggestion: '`mq cache ls` shows what is.' },
  CACHE_DAMAGED: {
    exit: 'gate',
    message: '{count} files of the cache {cache} are damaged.',
    suggestion: '`mq cache check --repair` removes them; they are downloaded again when they are next needed.',
  },
  PORT_TAKEN: {
    exit: 'environment',
    message: 'Port {port} of {host} cannot be listened on: {problem}.',
    suggestion: 'Choose another with --port, or 0 for any.',
  },
} as const satisfies Table

/** The one table of errors: code -> exit status, words, advice. docs/errors.md is made from it. Long, because it is one table. */
export const errorTable: Readonly<Record<FormatErrorCode | ToolErrorCode, ErrorEntry>> = { ...formatErrors, ...toolErrors }

export type ToolErrorCode = keyof typeof toolErrors
