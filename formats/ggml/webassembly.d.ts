/** The part of the WebAssembly API that the codec uses; without it TypeScript has it only among the browser's types. */
declare namespace WebAssembly {
  class Memory {
    constructor(limits: { initial: number; maximum?: number })
    readonly buffer: ArrayBuffer
    grow(pages: number): number
  }
  interface Instance {
    readonly exports: Record<string, unknown>
  }
  class Module {
    static exports(module: Module): { readonly name: string }[]
    private constructor()
  }
  function compile(bytes: Uint8Array): Promise<Module>
  function instantiate(module: Module, imports: Record<string, Record<string, unknown>>): Promise<Instance>
}
