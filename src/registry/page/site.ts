import { type Markup, markup, page } from '../../report/index.js'

/** Styles of the registry's pages in addition to those of reports. */
const style = `
.banner{border-bottom:1px solid var(--rule);background:var(--raised)}
.banner div{max-width:1120px;margin:0 auto;padding:12px 28px;display:flex;flex-wrap:wrap;gap:10px 24px;align-items:center;justify-content:space-between}
.banner a{color:var(--ink);font-weight:650;text-decoration:none}
.banner form{display:flex;gap:8px;flex:0 1 420px}
.banner input{flex:1;min-width:0;font:inherit;padding:6px 10px;border:1px solid var(--faint);border-radius:8px;background:var(--paper);color:var(--ink)}
button{font:inherit;font-size:13px;padding:5px 12px;border:1px solid var(--faint);border-radius:8px;background:var(--raised);color:var(--ink);cursor:pointer}
main{padding-top:32px}
a{color:var(--s1)}
:focus-visible{outline:2px solid var(--s1);outline-offset:2px;border-radius:4px}
.skip{position:absolute;left:-999px}.skip:focus{left:12px;top:12px;background:var(--raised);padding:8px 14px;z-index:1}
.commands{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(440px,100%),1fr));gap:14px}
.commands>div{min-width:0}
.commands h3{display:flex;justify-content:space-between;align-items:center;min-height:30px;margin-bottom:6px}
.commands p{color:var(--soft);font-size:13px;margin:5px 0 0}
.visually-hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
details{margin-top:12px}summary{cursor:pointer;color:var(--s1)}
.picture{overflow-x:auto;margin-top:12px;background:#fff;border:1px solid var(--rule);border-radius:10px;padding:10px}
.picture svg text{stroke:none}
.readme{background:var(--raised);border:1px solid var(--rule);border-radius:10px;padding:8px 22px 18px;overflow-wrap:anywhere}
.readme h3{font-size:17px;margin:20px 0 8px}.readme h4{font-size:15px;margin:16px 0 6px}.readme h5,.readme h6{font-size:14px;margin:14px 0 4px}
.readme img{max-width:100%}.readme table{width:auto;display:block;overflow-x:auto}.readme pre{background:var(--paper)}
@media (max-width:620px){.chart{overflow-x:auto}.chart svg{min-width:600px}.banner div{padding:10px 14px}}
.readme li{margin:3px 0}
nav.pages{margin-top:16px;display:flex;gap:18px}
`

/** Script for copy buttons: everything else works without scripts. */
export const script = `for (const block of document.querySelectorAll('.commands pre')) {
  const button = document.createElement('button')
  const client = block.previousElementSibling
  button.type = 'button'
  button.textContent = 'Copy'
  button.setAttribute('aria-label', 'Copy the command for ' + client.textContent)
  button.addEventListener('click', async () => {
    const status = document.getElementById('status')
    try {
      await navigator.clipboard.writeText(block.textContent)
      status.textContent = 'Copied'
      button.textContent = 'Copied'
    } catch {
      const range = document.createRange()
      range.selectNodeContents(block)
      getSelection().removeAllRanges()
      getSelection().addRange(range)
      status.textContent = 'Selected: copy it with the keyboard'
      button.textContent = 'Selected'
    }
    setTimeout(() => { button.textContent = 'Copy' }, 2000)
  })
  client.append(button)
}
`

/** Path of {@link script}, which no namespace can have. */
export const scriptPath = '/-/page.js'

/** Renders a page of the registry: a banner with the search, then the content. */
export function sitePage(title: string, content: readonly (Markup | undefined)[], query = ''): string {
  const banner = markup`<a class="skip" href="#main">Skip to the content</a>
<header class="banner"><div><a href="/">mq registry</a>
<form role="search" action="/" method="get"><label class="visually-hidden" for="q">Search models</label>
<input id="q" type="search" name="q" value="${query}" placeholder="Name, tag or architecture" maxlength="200"/><button>Search</button></form></div></header>
<p id="status" class="visually-hidden" role="status"></p>`
  return page(title, content, { banner, style, script: scriptPath })
}
