import { MqError } from '../../errors/index.js'
import type { LoadRequest, ModelInfo, Pooling, TokenizeRequest } from '../protocol.js'
import { type Address, type Llama, loadLibraries, offThread } from './binding.js'
import { Context, type ContextSize } from './context.js'
import { devices } from './devices.js'
import { expertsOnProcessor } from './overrides.js'
import { LlamaRefusal } from './refusal.js'
import { loadMode, modelFields, poolingTypes, setFields } from './structs.js'

/** Default context length in tokens. */
export const defaultContext = 4096

/** A model in llama.cpp's memory, and its contexts of the last size asked for. Ends with its process. */
export interface LoadedModel {
  readonly llama: Llama
  readonly address: Address
  readonly vocab: Address
  readonly info: ModelInfo
  readonly options: LoadRequest
  /** Contexts of this size, made anew only where the last ones had another. They hold what they held. */
  contexts(size: ContextSize, count: number): Promise<readonly Context[]>
}

/** Loads a model. @throws LlamaRefusal where llama.cpp does not; MqError LLAMA_MISSING, LLAMA_VERSION. */
export async function load(options: LoadRequest): Promise<LoadedModel> {
  const llama = loadLibraries(options.libraries)
  const params = setFields(llama.modelDefaultParams(), modelFields, {
    n_gpu_layers: options.gpuLayers,
    load_mode: options.mmap ? loadMode.mmap : loadMode.none,
    vocab_only: options.vocabularyOnly,
    use_extra_bufts: options.extraBuffers,
    tensor_buft_overrides: expertsOnProcessor(llama, options.cpuExpertLayers),
  })
  const address = await offThread(llama.modelLoad, options.path, params)
  if (address === null) throw new LlamaRefusal('the model was not loaded')
  const vocab = llama.modelVocab(address)
  const reject = (problem: string): never => {
    throw MqError.of('MODEL_REJECTED', { file: options.path, problem })
  }
  if (llama.modelHasEncoder(address) || !llama.modelHasDecoder(address)) reject('it is not a decoder of text')
  if (llama.vocabType(vocab) === 0) reject('it has no vocabulary')

  let contexts: Context[] = []
  const info = describe(llama, address, vocab, options)
  const cache = cacheOf({ options })
  return {
    llama,
    address,
    vocab,
    info,
    options,
    async contexts(size, count) {
      if (contexts.some((context) => !sameSize(context.size, size))) {
        for (const context of contexts) context.free()
        contexts = []
      }
      while (contexts.length < count) contexts.push(await Context.create(llama, address, info.vocabulary, { ...size, ...cache }))
      return contexts.slice(0, count)
    },
  }
}

/** Returns whether flash attention is used, and the types of keys and values in the KV cache. */
export function cacheOf({ options: { flashAttention, keyType, valueType } }: Pick<LoadedModel, 'options'>) {
  return { flashAttention, keyType, valueType }
}

/** Tokenizes a text. @returns token ids. */
export function tokenize({ llama, vocab }: LoadedModel, { text, special, parseSpecial }: TokenizeRequest): Int32Array {
  const bytes = Buffer.from(text)
  // a token stands for at least one byte, but for BOS, EOS and a leading space
  const tokens = new Int32Array(bytes.byteLength + 8)
  const count = llama.tokenize(vocab, bytes, bytes.byteLength, tokens, tokens.length, special, parseSpecial)
  if (count < 0) throw new LlamaRefusal('the text was not tokenized')
  return tokens.slice(0, count)
}

/** Tokenizes a prompt, with exactly one BOS where the vocabulary adds it, even if the text (as of chat templates) contains one. */
export function promptTokens(model: LoadedModel, text: string): Int32Array {
  const tokens = tokenize(model, { text, special: false, parseSpecial: true })
  const bos = model.llama.vocabBos(model.vocab)
  if (bos < 0 || tokens[0] === bos || (!model.info.addsBos && tokens.length > 0)) return tokens
  // Not spread into arguments: a long prompt has more tokens than a call may have arguments.
  const withBos = new Int32Array(tokens.length + 1)
  withBos[0] = bos
  withBos.set(tokens, 1)
  return withBos
}

/** Returns the bytes of a token; a character may continue in the next one. Control tokens have none. */
export function pieceBytes({ llama, vocab }: LoadedModel, token: number): Uint8Array {
  const buffer = new Uint8Array(64)
  const length = llama.tokenToPiece(vocab, token, buffer, buffer.length, 0, false)
  if (length >= 0) return buffer.subarray(0, length)
  const larger = new Uint8Array(-length)
  return larger.subarray(0, llama.tokenToPiece(vocab, token, larger, larger.length, 0, false))
}

function poolingOf(text: string | undefined): Pooling {
  return poolingTypes[Number(text ?? 0)] ?? 'none'
}

function sameSize(a: ContextSize, b: ContextSize): boolean {
  return a.contextLength === b.contextLength && a.sequences === b.sequences && a.batch === b.batch && a.threads === b.threads
}

function describe(llama: Llama, model: Address, vocab: Address, { pooling }: LoadRequest): ModelInfo {
  const metadata = (key: string) => readText((text) => llama.modelMetadata(model, key, text, text.byteLength))
  const tokenText = (token: number) => (token < 0 ? '' : (llama.vocabText(vocab, token) ?? ''))
  const chatTemplate = llama.modelChatTemplate(model, null)
  const architecture = metadata('general.architecture') ?? 'unknown'
  const classes = llama.modelClasses(model)
  return {
    architecture,
    description: readText((text) => llama.modelDescription(model, text, text.byteLength)) ?? '',
    parameters: llama.modelParameters(model),
    sizeBytes: llama.modelSizeBytes(model),
    vocabulary: llama.vocabTokens(vocab),
    trainedContext: llama.modelTrainedContext(model),
    addsBos: llama.vocabAddsBos(vocab),
    generates: metadata(`${architecture}.attention.causal`) !== 'false',
    pooling: pooling ?? poolingOf(metadata(`${architecture}.pooling_type`)),
    embeddingLength: llama.modelEmbeddingLength(model),
    classes,
    gpus: devices(llama)
      .filter(({ kind }) => kind === 'gpu' || kind === 'integrated')
      .map(({ description }) => description),
    bosToken: tokenText(llama.vocabBos(vocab)),
    eosToken: tokenText(llama.vocabEos(vocab)),
    chatTemplate: chatTemplate ?? undefined,
    sampling: {
      ...numberAs('temperature', metadata('general.sampling.temp')),
      ...numberAs('topK', metadata('general.sampling.top_k')),
      ...numberAs('topP', metadata('general.sampling.top_p')),
      ...numberAs('minP', metadata('general.sampling.min_p')),
    },
    llamaVersion: llama.version().split('-')[0] ?? '',
  }
}

function numberAs<Name extends string>(name: Name, text: string | undefined): { [name in Name]?: number } {
  const value = text === undefined ? Number.NaN : Number(text)
  return (Number.isFinite(value) ? { [name]: value } : {}) as { [name in Name]?: number }
}

/** Reads a text that a function of llama.cpp writes into a buffer; undefined where it returns a negative length. */
function readText(write: (buffer: Uint8Array) => number): string | undefined {
  const buffer = new Uint8Array(1024)
  const length = write(buffer)
  return length < 0 ? undefined : Buffer.from(buffer.subarray(0, Math.min(length, buffer.length - 1))).toString('utf8')
}
