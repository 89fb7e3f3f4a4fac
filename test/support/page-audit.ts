/** What a look at a page found. */
export interface PageFindings {
  /** Text whose contrast with its ground is below 4.5 (WCAG 2.2, 1.4.3). */
  readonly faint: string[]
  /** Levels of headings that skip one. */
  readonly jumps: number[]
  /** Links, buttons, fields and pictures without a name. */
  readonly nameless: number
}

/** Runs in the page, so it is text: the project's types know no document. Its result is {@link PageFindings}. */
export const pageAudit = `(() => {
  const luminance = (color) => {
    const [r, g, b] = (color.match(/[\\d.]+/g) ?? []).slice(0, 3).map((text) => {
      const share = Number(text) / 255
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const groundOf = (element) => {
    if (element === null) return 'rgb(255,255,255)'
    const { backgroundColor } = getComputedStyle(element)
    return /rgba\\(.*, 0\\)|transparent/.test(backgroundColor) ? groundOf(element.parentElement) : backgroundColor
  }
  const faint = [...document.querySelectorAll('p, td, th, a, dt, dd, h1, h2, h3, pre, li, button, summary')].flatMap((element) => {
    const [ink, ground] = [luminance(getComputedStyle(element).color), luminance(groundOf(element))]
    const contrast = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05)
    return contrast < 4.5 ? [element.tagName + ' ' + element.textContent.slice(0, 30) + ' ' + contrast.toFixed(2)] : []
  })
  const levels = [...document.querySelectorAll('h1, h2, h3, h4')].map(({ tagName }) => Number(tagName.slice(1)))
  const nameless = [...document.querySelectorAll('a, button, input, [role=img]')].filter((element) => {
    const label = document.querySelector('label[for="' + element.id + '"]')?.textContent
    return !(element.getAttribute('aria-label') ?? label ?? element.textContent)?.trim()
  })
  return { faint, jumps: levels.filter((level, at) => level - (levels[at - 1] ?? 0) > 1), nameless: nameless.length }
})()`
