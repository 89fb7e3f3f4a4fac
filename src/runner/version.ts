/**
 * Versions of llama.cpp whose binary interface is known here: the structs and functions of include/llama.h and ggml.h that src/runner/child
 * uses are the same in both (compared header by header). package.json pins the packages that carry them.
 */
export const llamaVersions = ['0.5.0', '0.4.0'] as const

/** The one that this platform's package has: the packages for macOS and Windows are a release behind. */
export const llamaVersion: string = process.platform === 'linux' ? '0.5.0' : '0.4.0'

/** The version of the @node-llama-cpp packages that carry it. */
export const packageVersion: string = process.platform === 'linux' ? '3.22.1' : '3.21.1'
