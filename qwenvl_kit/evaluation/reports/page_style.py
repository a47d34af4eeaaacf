"""The style of the page of a result, in light and in dark."""

STYLE = """
:root { --paper: #fff; --ink: #1c1f26; --soft: #667; --line: #e3e5ec; --card: #f7f8fb;
  --mark: #4363d8; --band: #b9c4e8; --good: #1a7f4b; --bad: #b3123c; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14161b; --ink: #e7e9ee; --soft: #99a; --line: #2c303a; --card: #1c1f27;
    --mark: #8fa5ff; --band: #3a4a86; --good: #57c98d; --bad: #ff6f91; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Noto Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { margin: 0; font-size: 24px; } h2 { margin: 40px 0 12px; font-size: 18px; }
.headline { margin: 4px 0 16px; font-size: 18px; } .headline b { font-size: 40px; }
small, footer, .missing { color: var(--soft); font-size: 13px; }
ul { margin: 0 0 20px; padding-left: 20px; color: var(--soft); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 14px 5px 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); font-weight: normal; }
.metrics td { white-space: nowrap; }
.metrics th { font-weight: 600; } .metrics td, .metrics thead th { text-align: right; }
.metrics tbody td:first-child { padding-left: 16px; text-align: left; }
.metrics .group th { padding-top: 16px; color: var(--soft); }
.pairs th { color: var(--soft); white-space: nowrap; } .pairs td { overflow-wrap: anywhere; }
.failures td:not(:last-child) { min-width: 9em; }
.bar { vertical-align: middle; } .scale { fill: var(--line); } .interval { fill: var(--band); }
.mark { fill: var(--mark); }
.plot { max-width: 100%; background: #fff; border-radius: 8px; }
.items { display: grid; gap: 16px; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(320px, 1fr)); }
article { padding: 14px 16px; background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; overflow: hidden; }
article header { display: flex; gap: 8px; align-items: baseline; flex-wrap: wrap; }
article strong { overflow-wrap: anywhere; }
.score { padding: 0 8px; border-radius: 99px; border: 1px solid; font-size: 13px; }
.good { color: var(--good); } .bad { color: var(--bad); }
.pictures { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; margin: 12px 0; }
.pictures img { max-width: 100%; border-radius: 6px; border: 1px solid var(--line); }
dl { display: grid; grid-template-columns: auto 1fr; gap: 4px 12px; margin: 10px 0; }
dt { color: var(--soft); } dd { margin: 0; min-width: 0; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; }
footer { overflow-wrap: anywhere; }
"""
"""The rules of the page: no fonts or pictures from elsewhere."""
