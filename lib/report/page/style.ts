/** The page's style sheet. Colours have names, and both schemes give them values; a chosen scheme stands over the system's. */
export const pageStyle = `
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2126; --quiet: #5b6570; --line: #d9dee3; --panel: #f5f7f9;
  --accent: #b3261e; --bar: #3f6fb5; --bar-quiet: #b9cbe4; --warn: #8a5a00; --warn-paper: #fff6e0; }
@media (prefers-color-scheme: dark) { :root:not([data-scheme=light]) { --paper: #15181c; --ink: #e6e9ec; --quiet: #9aa5b1;
  --line: #333a42; --panel: #1d2228; --accent: #ff8a80; --bar: #7aa7e8; --bar-quiet: #33486a; --warn: #ffcf70; --warn-paper: #332a14; } }
:root[data-scheme=dark] { color-scheme: dark; --paper: #15181c; --ink: #e6e9ec; --quiet: #9aa5b1; --line: #333a42;
  --panel: #1d2228; --accent: #ff8a80; --bar: #7aa7e8; --bar-quiet: #33486a; --warn: #ffcf70; --warn-paper: #332a14; }
:root[data-scheme=light] { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main, header, nav { max-width: 1120px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 20px; }
h1 { font-size: 14px; font-weight: 600; color: var(--quiet); margin: 0; overflow-wrap: anywhere; }
.verdict { font-size: 24px; line-height: 1.35; font-weight: 600; margin: 8px 0 12px; border-left: 5px solid var(--accent);
  padding-left: 14px; overflow-wrap: anywhere; }
nav { position: sticky; top: 0; background: var(--paper); border-bottom: 1px solid var(--line); padding-top: 6px;
  padding-bottom: 6px; display: flex; gap: 14px; flex-wrap: wrap; align-items: center; z-index: 1; }
nav a { color: var(--ink); }
nav button { margin-left: auto; }
h2 { font-size: 18px; margin: 30px 0 8px; scroll-margin-top: 50px; }
.quiet, caption { color: var(--quiet); }
caption { text-align: left; padding-bottom: 4px; }
.facts { display: flex; flex-wrap: wrap; gap: 10px; margin: 0 0 10px; padding: 0; list-style: none; }
.facts li { background: var(--panel); border-radius: 8px; padding: 8px 14px; }
.facts b { display: block; font-size: 17px; }
.warnings { background: var(--warn-paper); color: var(--warn); border-radius: 8px; padding: 8px 14px 8px 32px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 3px 8px; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; white-space: nowrap; }
td.name, code, pre, li.step { font-family: ui-monospace, monospace; font-size: 13px; overflow-wrap: anywhere; }
th button { font: inherit; font-weight: 600; border: 0; background: none; color: inherit; cursor: pointer; padding: 0; }
th[aria-sort=descending] button::after { content: " ▾"; } th[aria-sort=ascending] button::after { content: " ▴"; }
:focus-visible { outline: 2px solid var(--bar); outline-offset: 2px; }
.scroll { overflow-x: auto; }
svg.bar { width: 110px; height: 10px; } svg.bar rect { fill: var(--bar-quiet); } svg.bar .own { fill: var(--bar); }
svg.map { width: 100%; height: auto; display: block; } svg.map rect { stroke: var(--paper); stroke-width: 2; fill: var(--bar-quiet); }
svg.map .kept { fill: var(--accent); fill-opacity: .55; }
svg.map text { fill: var(--ink); font: 12px system-ui, sans-serif; }
article { background: var(--panel); border-radius: 8px; padding: 10px 16px; margin: 10px 0; }
article p { margin: 4px 0; overflow-wrap: anywhere; }
ol.path { padding-left: 20px; margin: 6px 0; }
details { margin: 4px 0; } summary { cursor: pointer; overflow-wrap: anywhere; }
pre { overflow-x: auto; margin: 6px 0 6px 18px; }
input { font: inherit; padding: 4px 8px; width: min(420px, 100%); margin: 4px 0 8px; }
.skip { position: absolute; left: -999px; } .skip:focus { left: 8px; top: 8px; background: var(--paper); padding: 6px; z-index: 2; }
@media print { nav, input { display: none; } }
`;
