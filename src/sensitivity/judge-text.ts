/** Characters of the text that are read as they are; as many again with letters changed. About 10 chunks of each. */
const judged = 2 ** 14
/** Share of the letters that are changed. */
const changed = 0.12

/**
 * What plans are judged on: the end of a text, and the same with some letters changed for others of it, so that a plan must bear what its
 * calibration has never seen. The same text gives the same.
 */
export function judgeText(text: string): string {
  const end = text.slice(-judged)
  const letters = Array.from(end).filter(isLetter)
  const random = randomNumbers(1)
  const noisy = Array.from(end).map((letter) => {
    if (!isLetter(letter) || random() >= changed) return letter
    return letters[Math.floor(random() * letters.length)] as string
  })
  return `${end}\n${noisy.join('')}`
}

function isLetter(character: string): boolean {
  return /\p{L}/u.test(character)
}

/** Numbers in [0, 1) by a linear congruence. Source: Numerical Recipes, "quick and dirty generators". */
function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}
