/** The one llama.cpp whose binary interface is known here; package.json pins the packages that carry it. */
export const llamaVersion = '0.5.0'

/** The version of the @node-llama-cpp packages that carry it. */
export const packageVersion = '3.22.1'

/** Libraries in the order in which they are loaded: each needs the ones before it. */
export const libraryFiles = ['libggml-base.so', `libggml.v${llamaVersion}.so`, `libllama.v${llamaVersion}.so`] as const
