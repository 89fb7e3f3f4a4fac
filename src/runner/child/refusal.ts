/** llama.cpp said no without saying why to its caller: the reason stands in its log, which the parent keeps. */
export class LlamaRefusal extends Error {
  override readonly name = 'LlamaRefusal'
}
