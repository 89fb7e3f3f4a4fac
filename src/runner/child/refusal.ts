/** Error of a llama.cpp call that reports failure without a reason: the reason is in its log, which the parent process keeps. */
export class LlamaRefusal extends Error {
  override readonly name = 'LlamaRefusal'
}
