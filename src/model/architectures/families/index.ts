// All families, a line each: see find-family.ts.
export { deepseek2 } from './deepseek2.js'
export { gemma, gemma2, gemma3 } from './gemma.js'
export { llama } from './llama.js'
export { phi3 } from './phi3.js'
export { qwen2 } from './qwen2.js'
export { qwen2moe } from './qwen2moe.js'
export { qwen3 } from './qwen3.js'
export { qwen3moe } from './qwen3moe.js'
