import type { FormatErrorCode } from '../../formats/format-error.js'

// Long because it is the one table of all errors: code, exit status, message, suggestion.

/** Exit statuses, by what went wrong. */
export const exitStatus = {
  /** The command line is not valid, or asks for something impossible. */
  usage: 2,
  /** An input file is invalid, unsupported or does not fit the others. */
  input: 3,
  /** The machine lacks something: disk space, memory, a permission, a program. */
  environment: 4,
  /** A gate of `mq verify` failed. */
  gate: 5,
  /** A hub or registry cannot be reached, or its response is invalid. */
  network: 6,
  /** Ctrl-C. */
  interrupted: 130,
} as const

interface ErrorEntry {
  readonly exit: keyof typeof exitStatus
  /** What is wrong, and where; `{name}` is replaced by the error's detail of that name. */
  readonly message: string
  /** What to do. */
  readonly suggestion: string
}

type Table = Readonly<Record<string, ErrorEntry>>

const formatErrors = {
  INPUT_TRUNCATED: {
    exit: 'input',
    message: '{file} is truncated: {wanted} bytes are needed, {present} are present.',
    suggestion: 'Download, copy or create the file again.',
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
    suggestion: 'Download the index and all of its shards again, and remove shards that do not belong.',
  },
  GGUF_INVALID: {
    exit: 'input',
    message: '{file} is not a valid GGUF file: {problem}.',
    suggestion: 'Download or create the file again, with all shards of a split model.',
  },
  GGUF_UNSUPPORTED: {
    exit: 'input',
    message: '{file} is a GGUF file that is not supported: {problem}.',
    suggestion: 'Convert the original checkpoint with `mq convert`.',
  },
  GGML_TYPE_UNKNOWN: {
    exit: 'input',
    message: 'The ggml type {type} is not supported by {where}.',
    suggestion: 'A GGUF file in another type has to be made again from the checkpoint, in one that is supported.',
  },
  GGML_ROW_MISALIGNED: {
    exit: 'input',
    message: 'Rows of {rowLength} values cannot be stored as {type}, whose block size is {blockSize}.',
    suggestion: 'Choose a type with a smaller block size for this tensor, such as Q8_0 or F16.',
  },
  IMATRIX_INVALID: {
    exit: 'input',
    message: '{file} is not a valid importance matrix: {problem}.',
    suggestion: 'Create it again with `mq imatrix` or with llama-imatrix.',
  },
  LOGITS_INVALID: {
    exit: 'input',
    message: '{file} is not a valid file of base logits: {problem}.',
    suggestion: 'Save the logits of the reference again, with `mq verify` or llama-perplexity.',
  },
  TOKENIZER_INVALID: {
    exit: 'input',
    message: '{file} is not a valid tokenizer: {problem}.',
    suggestion: 'Take the tokenizer files of the checkpoint that these weights are from, or download them again.',
  },
  TOKENIZER_UNSUPPORTED: {
    exit: 'input',
    message: '{file} holds a tokenizer that cannot be converted yet: {problem}.',
    suggestion:
      'BPE, Unigram and WordPiece tokenizers from tokenizer.json are supported, and SentencePiece from tokenizer.model.',
  },
  PRE_TOKENIZER_UNKNOWN: {
    exit: 'input',
    message: 'The pre-tokenizer of {file} is not known to llama.cpp: {problem}.',
    suggestion: 'If you know its name in llama.cpp, give it as the option pre, such as llama-bpe.',
  },
} as const satisfies Record<FormatErrorCode, ErrorEntry>

/** Errors of everything but file formats. */
export const toolErrors = {
  // The command line
  USAGE: { exit: 'usage', message: '{problem}.', suggestion: 'See `mq {command} --help`.' },
  OPTION_INVALID: {
    exit: 'usage',
    message: 'The option {option} is {value}: {problem}.',
    suggestion: 'docs/library.md and the type declarations of the package say what {option} takes.',
  },
  FLAG_INVALID: { exit: 'usage', message: '--{flag} {value}: {problem}.', suggestion: 'See `mq {command} --help`.' },
  FLAGS_CONFLICT: { exit: 'usage', message: '{problem}.', suggestion: 'See `mq {command} --help`.' },
  PRESET_UNKNOWN: { exit: 'usage', message: 'There is no preset {preset}.', suggestion: 'Known presets: {known}.' },
  MIXTURE_UNKNOWN: {
    exit: 'usage',
    message: 'There is no mixture {mixture}.',
    suggestion: 'Known mixtures: {known}. Name a file of your own by its path, such as ./mixture.json.',
  },
  NAME_INVALID: {
    exit: 'usage',
    message: '{name} is not the name of a model: {problem}.',
    suggestion: 'Use NAMESPACE/NAME or NAMESPACE/NAME:TAG, with letters, digits, ".", "_" and "-".',
  },

  // Files
  FILE_MISSING: { exit: 'input', message: '{path} does not exist.', suggestion: 'Check the path or URL.' },
  FILE_UNREADABLE: {
    exit: 'environment',
    message: '{path} cannot be read: {problem}.',
    suggestion: 'Check the path, its permissions and its disk.',
  },
  LINK_DANGLING: {
    exit: 'input',
    message: '{path} is a symbolic link to {target}, which does not exist.',
    suggestion: 'Download the file again, or correct the link.',
  },
  FILE_UNWRITABLE: {
    exit: 'environment',
    message: '{path} cannot be written: {problem}.',
    suggestion: 'Check the folder, its permissions and its disk, or choose another path.',
  },
  OUTPUT_EXISTS: {
    exit: 'usage',
    message: '{path} already exists.',
    suggestion: 'Remove it, or choose another name.',
  },
  OUTPUT_BUSY: {
    exit: 'environment',
    message: '{path} is being written by another process.',
    suggestion: 'Wait for it to finish. If it ran on another machine and has ended, remove {lock}.',
  },
  PARTS_UNUSABLE: {
    exit: 'input',
    message: 'Of the {of} parts of {path} some cannot be used: {problem}.',
    suggestion: 'Make these parts again with the plan, source and calibration of the others; the first is {first}.',
  },
  DISK_FULL: {
    exit: 'environment',
    message: '{path} needs {needed} bytes of disk space, and {available} are free.',
    suggestion:
      'Free disk space and do the same again, or use another disk: MQ_REGISTRY names the registry, MQ_CACHE the cache, TMPDIR the folder for temporary files.',
  },
  MEMORY_TOO_SMALL: {
    exit: 'usage',
    message: 'A memory limit of {asked} bytes is too low.',
    suggestion: 'Allow at least {least} bytes.',
  },
  INTERRUPTED: {
    exit: 'interrupted',
    message: 'Stopped before {what} was finished.',
    suggestion: 'Run the same command again: conversion, quantization and downloads resume, other work starts over.',
  },
  INTERNAL: {
    exit: 'environment',
    message: 'Internal error: {problem}.',
    suggestion: 'Please report it with the command line; MQ_DEBUG=1 adds a stack trace.',
  },

  // Checkpoints
  CHECKPOINT_EMPTY: {
    exit: 'input',
    message: '{path} contains no model that can be used: {problem}.',
    suggestion:
      'Give a GGUF file, or, unless the command takes GGUF files only, a checkpoint with config.json and *.safetensors.',
  },
  CHECKPOINT_PICKLED: {
    exit: 'input',
    message: '{file} holds weights as a PyTorch pickle, which can run code when it is loaded; only safetensors are supported.',
    suggestion: 'Save the model again from transformers: `AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(OTHER)`.',
  },
  CHECKPOINT_FILE: {
    exit: 'input',
    message: '{path} is one file of a checkpoint, but the whole folder is needed.',
    suggestion: 'Give the folder {folder}.',
  },
  CONFIG_INVALID: {
    exit: 'input',
    message: '{file} cannot be used: {problem}.',
    suggestion: '{advice}.',
  },
  ARCHITECTURE_UNKNOWN: {
    exit: 'input',
    message: '{file} has the architecture {architecture}, which is not supported.',
    suggestion: 'Closest of {count} supported architectures: {nearest}.',
  },
  STORAGE_UNSUPPORTED: {
    exit: 'input',
    message: '{file} stores its weights as {storage}, which is not supported.',
    suggestion: '{advice}.',
  },
  TENSOR_MISSING: {
    exit: 'input',
    message: 'The checkpoint {path} has no tensor {tensor}.',
    suggestion: 'Download the checkpoint again, as a shard may be missing, or check that config.json belongs to these weights.',
  },
  TENSOR_UNEXPECTED: {
    exit: 'input',
    message: 'The checkpoint {path} has a tensor {tensor}, which is not part of the architecture {architecture}.',
    suggestion: '{advice}.',
  },
  TENSOR_SHAPE: {
    exit: 'input',
    message: 'The tensor {tensor} has the shape {shape}, but config.json implies {expected}.',
    suggestion: 'Check that config.json belongs to these weights.',
  },
  TENSOR_NOT_FINITE: {
    exit: 'input',
    message: 'The tensor {tensor} has NaN or infinite weights, first in row {row}.',
    suggestion: 'The source is damaged: download or export it again.',
  },
  TENSOR_OVERFLOW: {
    exit: 'input',
    message: 'The tensor {tensor} has weights that overflow {type}, first in row {row}.',
    suggestion: 'Use BF16 or F32 for it.',
  },

  // Plans
  PLAN_INVALID: {
    exit: 'input',
    message: '{file} is not a valid plan: {problem}.',
    suggestion: 'Create it again with `mq plan`.',
  },
  ADAPTER_INVALID: {
    exit: 'input',
    message: '{file} is not a LoRA adapter that can be read: {problem}.',
    suggestion: 'Save the adapter again with save_pretrained() of peft, or download it again.',
  },
  ADAPTER_UNSUPPORTED: {
    exit: 'input',
    message: '{file} is {kind}, which is not supported.',
    suggestion: '{advice}.',
  },
  ADAPTER_MISMATCH: {
    exit: 'input',
    message: 'The adapter {adapter} does not fit the model {path}: {problem}.',
    suggestion: 'Use the model that it was trained on: {base}.',
  },
  PLAN_MISMATCH: {
    exit: 'input',
    message: 'The plan does not match this model: {problem}.',
    suggestion: 'Create the plan again with `mq plan`, from this model.',
  },
  MIXTURE_INVALID: {
    exit: 'input',
    message: 'The mixture {file} cannot be used: {problem}.',
    suggestion: 'The format of mixtures is described in samples/mixtures/README.md.',
  },
  IMPORTANCE_MISMATCH: {
    exit: 'input',
    message: 'The importance matrix does not match the tensor {tensor}: {problem}.',
    suggestion: 'Create it again from this model with `mq imatrix`; only files of one model can be merged.',
  },
  CALIBRATION_MISMATCH: {
    exit: 'input',
    message: '{file} does not match {first}: {problem}.',
    suggestion:
      'Run `mq imatrix` on the model to be quantized. Files to merge must come from one model, with the same rank of the covariances.',
  },
  BUDGET_IMPOSSIBLE: {
    exit: 'usage',
    message: 'The budget of {asked} is below the minimum for this model: {least}. That minimum is set by {obstacles}.',
    suggestion:
      'Raise the budget, lower the floors, relax ties and types of tensors, or, for memory, lower the context length{widening}.',
  },
  WIDTH_FIXED: {
    exit: 'usage',
    message: 'The width {width} cannot be widened: {problem}.',
    suggestion: 'Leave the width as it is; its rows then have types with blocks of 32.',
  },
  FOOTPRINT_UNKNOWN: {
    exit: 'usage',
    message: 'The memory to run this {architecture} model cannot be computed from its metadata.',
    suggestion: 'Use a budget of size or of bits per weight.',
  },

  // Build files
  BUILD_INVALID: {
    exit: 'input',
    message: 'The build file cannot be used: {problems}.',
    suggestion: 'docs/ci.md describes build files; docs/build.schema.json checks them in an editor.',
  },
  BUILD_BUSY: {
    exit: 'environment',
    message: 'Another build is using the work folder {path}.',
    suggestion: 'Wait for it to finish, or use another work folder. If it ran on another machine and has ended, remove {lock}.',
  },

  // Farm
  QUEUE_INVALID: {
    exit: 'usage',
    message: '{address} is not the address of a queue: {problem}.',
    suggestion: 'Use redis://HOST[:PORT][/DATABASE], or rediss:// for TLS; several farms on one broker differ in ?farm=NAME.',
  },
  BROKER_UNREACHABLE: {
    exit: 'network',
    message: 'The broker {broker} cannot be reached: {problem}.',
    suggestion: 'Start Redis or Valkey there, or check address, password and network. What is done is kept: do the same again.',
  },
  FARM_VERSION: {
    exit: 'environment',
    message: 'The build on {host} runs mq {expected}, but this worker runs {found}: their bytes could differ.',
    suggestion: 'Install the same version of mq on all machines of a farm.',
  },
  FARM_FOLDER: {
    exit: 'environment',
    message: '{folder} is not the work folder of the build: {problem}.',
    suggestion: 'Mount the work folder of the build on this machine, and name it to the worker where its path differs.',
  },
  UNIT_LOST: {
    exit: 'environment',
    message: 'Workers ended {times} times while they ran {unit}.',
    suggestion: 'Look at the output of the workers: they may have too little memory. What is done is kept: do the same again.',
  },
  RESULT_CORRUPT: {
    exit: 'environment',
    message:
      'The result of {unit} by worker {worker} has other bytes in the work folder than it had when it was made: {problem}.',
    suggestion: 'Check the disk and the network file system of the work folder, and the memory of the worker.',
  },
  RESULTS_DIFFER: {
    exit: 'environment',
    message: '{unit} had other bytes when it was computed again: by {first}, then by {second}.',
    suggestion: 'One of the two machines computes wrong bytes: check its memory, and run the build again without it.',
  },

  // llama.cpp
  LLAMA_MISSING: {
    exit: 'environment',
    message: 'llama.cpp was not found: {problem}.',
    suggestion: 'Run `npm install` again, on a supported platform.',
  },
  LLAMA_VERSION: {
    exit: 'environment',
    message: 'The llama.cpp library is {found}, but {expected} is required.',
    suggestion: 'Install the package versions that package.json pins, with `npm ci`.',
  },
  MODEL_REJECTED: {
    exit: 'input',
    message: 'llama.cpp cannot load {file}: {problem}.',
    suggestion: 'Check the file with `mq inspect`, or create it again.',
  },
  ARCHITECTURE_TOO_NEW: {
    exit: 'environment',
    message:
      '{file} has the architecture {architecture}, which llama.cpp knows since version {version}; the embedded one is {embedded}.',
    suggestion:
      'Use a llama.cpp of that version: run, bench, imatrix and serve can take its programs in place of the embedded one.',
  },
  MODEL_UNSUITED: {
    exit: 'input',
    message: '{file} {problem}.',
    suggestion: 'Use a model that supports this.',
  },
  LLAMA_CRASHED: {
    exit: 'environment',
    message: 'llama.cpp ended unexpectedly while it {doing}: {problem}.',
    suggestion: 'The model file may be damaged, or the machine out of memory.',
  },
  ACTIVATIONS_NOT_FINITE: {
    exit: 'input',
    message: 'The activations at {tensor} became NaN or infinite on this text.',
    suggestion: 'The model is damaged, or its type overflows: use the model in F32 or BF16.',
  },
  TEXT_TOO_SHORT: {
    exit: 'input',
    message: '{file} has {tokens} tokens, but {needed} are needed.',
    suggestion: 'Use a longer text, or a shorter context length.',
  },
  TEXT_TOO_LARGE: {
    exit: 'input',
    message: '{file} has {size} bytes, but at most {limit} can be used.',
    suggestion: 'Use a part of the file; of a text, a number of chunks reads the beginning only.',
  },
  PROMPT_TOO_LONG: {
    exit: 'input',
    message: 'The prompt has {tokens} tokens, but the context length is {contextLength}.',
    suggestion: 'Use a larger context length, or a shorter prompt.',
  },
  CHAT_TEMPLATE_INVALID: {
    exit: 'input',
    message: 'The chat template of {file} does not work: {problem}.',
    suggestion: 'Send the prompt without a chat template.',
  },

  // Proof
  GATE_FAILED: {
    exit: 'gate',
    message: '{what} is {value}, but the gate requires {limit}.',
    suggestion: 'Quantize the model with more bits, or relax the gate.',
  },
  REFERENCE_MISMATCH: {
    exit: 'input',
    message: '{file} and {reference} do not have the same tokens for this text.',
    suggestion: 'Compare a model with the one it was quantized from; saved logits belong to the text that they were saved for.',
  },
  REPORT_INVALID: {
    exit: 'input',
    message: '{file} is not a report of `mq verify`: {problem}.',
    suggestion: 'Run `mq verify` on the model again.',
  },
  REPORT_MISMATCH: {
    exit: 'gate',
    message: '{report} does not belong to {file}, or contains a failed gate.',
    suggestion: 'Run `mq verify` on the file again.',
  },

  // Hubs and registries
  NETWORK: {
    exit: 'network',
    message: '{url} cannot be reached: {problem}.',
    suggestion: 'Check the address and the connection, then run the same command again; downloads resume.',
  },
  HUB_ANSWER_INVALID: {
    exit: 'network',
    message: '{url} sent an invalid response: {problem}.',
    suggestion: 'Check that this is the address of a Hugging Face hub or of a registry.',
  },
  REPO_MISSING: {
    exit: 'network',
    message: '{url} has no model {repo}.',
    suggestion: 'Check the name; a private or gated model needs an access token (HF_TOKEN).',
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
    message: '{repo} at {url} has no file {file}, which is part of the model.',
    suggestion: 'Its upload may not be finished: try again later, or name the files to fetch.',
  },
  DOWNLOAD_CORRUPT: {
    exit: 'network',
    message: 'The download of {file} is corrupt: {problem}.',
    suggestion: 'Run the same command again; the corrupt data was removed.',
  },
  REGISTRY_CORRUPT: {
    exit: 'input',
    message: 'The registry {path} is damaged: {problem}.',
    suggestion: '`mq registry fsck` lists everything that is damaged.',
  },
  REGISTRY_DAMAGED: {
    exit: 'gate',
    message: '{count} faults were found in the registry {path}.',
    suggestion: 'Publish the models again whose files are damaged.',
  },
  TOKEN_UNKNOWN: { exit: 'usage', message: 'There is no token {id}.', suggestion: '`mq registry token ls` lists the tokens.' },
  COMMIT_REFUSED: {
    exit: 'input',
    message: 'The commit was refused: {path}: {problem}.',
    suggestion: 'Upload the file again, or choose another path.',
  },
  UPLOAD_REFUSED: {
    exit: 'network',
    message: 'The upload was refused: {problem}.',
    suggestion: 'Try again, or raise the limits of `mq registry serve`.',
  },
  TARGET_MISSING: {
    exit: 'environment',
    message: '{target} was not found: {problem}.',
    suggestion: 'Install or start it, or name its folder of models.',
  },
  TARGET_REFUSED: {
    exit: 'network',
    message: '{target} did not take the model: {problem}.',
    suggestion:
      'Check its name, the token (HF_TOKEN) and the log of the server, then publish again; files that arrived are not sent again.',
  },
  REGISTRY_LIMIT: {
    exit: 'usage',
    message: '{name} cannot be stored: {problem}.',
    suggestion: 'Publish under another name, or remove tags with `mq registry rm`.',
  },
  REGISTRY_BUSY: {
    exit: 'environment',
    message: 'The registry {path} is being written by another process.',
    suggestion: 'Wait for it to finish, then run the command again.',
  },
  MODEL_NOT_FOUND: {
    exit: 'input',
    message: '{name} is not in {registry}.',
    suggestion: 'Check the name and the tag; `mq registry ls` lists the local registry.',
  },
  CACHE_MISSING: { exit: 'input', message: '{name} is not in the cache {cache}.', suggestion: '`mq cache ls` lists the cache.' },
  CACHE_DAMAGED: {
    exit: 'gate',
    message: '{count} files of the cache {cache} are damaged.',
    suggestion: 'Remove them; they are downloaded again when they are next needed.',
  },
  PORT_TAKEN: {
    exit: 'environment',
    message: 'Cannot listen on port {port} of {host}: {problem}.',
    suggestion: 'Choose another port; 0 selects a free one.',
  },
} as const satisfies Table

/** All errors: code -> exit status, message, suggestion. docs/errors.md is generated from it. Long, because it is one table. */
export const errorTable: Readonly<Record<FormatErrorCode | ToolErrorCode, ErrorEntry>> = { ...formatErrors, ...toolErrors }

/** Code of an error of the tool. */
export type ToolErrorCode = keyof typeof toolErrors
