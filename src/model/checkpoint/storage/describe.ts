/** What to do about a storage that cannot be read, and that an original exists for. */
export const originalAdvice =
  'Use the original checkpoint, before it was quantized. If the weights are no longer quantized, remove quantization_config from config.json'

/** What a quantization_config says of itself, for a message: its method, format and bits. */
export function describeQuantization(quantization: unknown): string {
  const fields = new Map<string, unknown>(
    typeof quantization === 'object' && quantization !== null ? Object.entries(quantization) : [],
  )
  const words = ['quant_method', 'quant_algo', 'format', 'fmt']
    .map((name) => fields.get(name))
    .filter((word) => typeof word === 'string')
  const bits = fields.get('bits')
  return [...words, ...(typeof bits === 'number' ? [`${bits} bits`] : [])].join(', ') || 'an unnamed quantization'
}
