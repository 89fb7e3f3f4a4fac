const light = `--paper:#fcfcfb;--raised:#ffffff;--ink:#14181d;--soft:#5a6470;--faint:#8b94a0;--rule:#e2e5e9;--grid:#eceef1;
--s0:#9aa3ad;--s1:#2563c9;--s2:#d0680f;--good:#15703a;--good-wash:#e8f5ec;--bad:#b42318;--bad-wash:#fdecea`
const dark = `--paper:#121519;--raised:#191d23;--ink:#e9edf2;--soft:#a3adb9;--faint:#77818d;--rule:#2b313a;--grid:#232931;
--s0:#6d7783;--s1:#6ea4ff;--s2:#f59a4a;--good:#6fd39a;--good-wash:#15291e;--bad:#ff8d80;--bad-wash:#331917`

/** The page's own style: light, dark as the reader's system has it, and light again on paper. Series count from 1 (s1, s2); s0 stands back. */
export const style = `
:root{color-scheme:light dark;${light}}
@media (prefers-color-scheme:dark){:root{${dark}}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif;font-variant-numeric:tabular-nums}
main{max-width:1120px;margin:0 auto;padding:44px 28px 64px}
h1{font-size:28px;line-height:1.2;font-weight:650;letter-spacing:-.015em;margin:0 0 6px;overflow-wrap:anywhere}
h2{font-size:18px;font-weight:620;margin:46px 0 14px;padding-top:18px;border-top:1px solid var(--rule)}
h3{font-size:14.5px;font-weight:620;margin:0}
p{margin:0 0 10px;max-width:74ch}
.lead{max-width:none;color:var(--soft);font-size:16px;overflow-wrap:anywhere}
.verdict{display:inline-block;margin:18px 0 0;padding:5px 13px;border-radius:99px;font-weight:620;background:var(--rule)}
.verdict.passed{background:var(--good-wash);color:var(--good)}
.verdict.failed{background:var(--bad-wash);color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:14px;margin:26px 0 0;padding:0}
.tiles div{background:var(--raised);border:1px solid var(--rule);border-radius:10px;padding:14px 16px}
.tiles dt{color:var(--soft);font-size:13px}
.tiles dd{margin:0}
.tiles .value{font-size:25px;font-weight:600;letter-spacing:-.01em;line-height:1.35}
.tiles .note{color:var(--soft);font-size:13px}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(470px,100%),1fr));gap:18px}
.charts .wide{grid-column:1/-1}
.chart{margin:0;background:var(--raised);border:1px solid var(--rule);border-radius:10px;padding:16px 16px 10px}
.chart figcaption p{color:var(--soft);font-size:13px;line-height:1.45;margin:3px 0 8px}
.chart svg{display:block;width:100%;height:auto}
.key{list-style:none;display:flex;flex-wrap:wrap;gap:4px 18px;margin:0 0 6px;padding:0;font-size:13px;color:var(--soft)}
.key li{overflow-wrap:anywhere}
.key li::before{content:"";display:inline-block;width:14px;height:4px;border-radius:2px;margin-right:7px;vertical-align:middle;background:var(--s0)}
.key .s1::before{background:var(--s1)}.key .s2::before{background:var(--s2)}
svg text{font:11.5px system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif;fill:var(--soft);font-variant-numeric:tabular-nums}
svg text.title{fill:var(--faint)}
svg text.label,svg text.note{paint-order:stroke;stroke:var(--raised);stroke-width:3px;stroke-linejoin:round}svg text.label{fill:var(--ink);font-size:12px}
svg text.label.back{fill:var(--faint)}
.grid line{stroke:var(--grid);stroke-width:1}
.axis line{stroke:var(--faint);stroke-width:1}
.s0{--c:var(--s0)}.s1{--c:var(--s1)}.s2{--c:var(--s2)}
.line{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.band{fill:var(--c);fill-opacity:.16}
.dot{fill:var(--c);fill-opacity:.38}
.dot.full{fill-opacity:1;stroke:var(--raised);stroke-width:2}
.dot.hollow{fill:var(--raised);fill-opacity:1;stroke:var(--c);stroke-width:1.6}
.bar{fill:var(--c);fill-opacity:.8}
.whisker{stroke:var(--c);stroke-width:1.4}
.level{stroke:var(--bad);stroke-width:1.4;stroke-dasharray:2 4}
.upright{stroke:var(--c);stroke-width:1.2;stroke-dasharray:3 3}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px;background:var(--raised);border:1px solid var(--rule);border-radius:10px;border-spacing:0;overflow:hidden}
th,td{padding:7px 14px;text-align:right;border-bottom:1px solid var(--rule);vertical-align:top}
tr:last-child>*{border-bottom:0}
th:first-child,td:first-child,.left{text-align:left}
thead th{color:var(--soft);font-weight:560;font-size:13px}
tbody th{font-weight:500;min-width:11em;overflow-wrap:anywhere}
tbody tr.back>*{color:var(--faint)}
.after{margin-top:14px;color:var(--soft);font-size:13.5px}
.error{color:var(--faint);white-space:nowrap}
.passed-mark{color:var(--good);font-weight:620}.failed-mark{color:var(--bad);font-weight:620}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(470px,100%),1fr));gap:18px;align-items:start}
dl.facts{display:grid;grid-template-columns:max-content 1fr;gap:5px 20px;margin:0;font-size:14px}
dl.facts dt{color:var(--soft)}dl.facts dd{margin:0;overflow-wrap:anywhere}
code,pre{font:12.5px/1.6 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
pre{white-space:pre-wrap;background:var(--raised);border:1px solid var(--rule);border-radius:10px;padding:12px 16px;margin:0}
footer{color:var(--faint);font-size:13px;margin-top:34px}
@media (max-width:620px){main{padding:26px 14px 40px}h1{font-size:23px}th,td{padding:6px 9px}}
@media print{
:root{color-scheme:light;${light};--paper:#fff}
@page{size:A4;margin:14mm 13mm}
body{font-size:10.5pt;-webkit-print-color-adjust:exact;print-color-adjust:exact}
main{max-width:none;padding:0}
h2{margin-top:22px;padding-top:12px;break-after:avoid}
.chart,.tiles div,tr,pre{break-inside:avoid}
.charts,.columns{grid-template-columns:1fr 1fr;gap:10px}
.tiles{grid-template-columns:repeat(4,1fr)}
.tiles .value{font-size:19px}
.scroll{overflow:visible}
table{font-size:8.5pt}th,td{padding:4px 8px}tbody th{min-width:0}
.chart{padding:10px 10px 6px}
}
`
