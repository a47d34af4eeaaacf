"""The style of all HTML forms: light and dark, wide and narrow, without JavaScript."""

from __future__ import annotations

STYLE = """
.qvk{--qvk-muted:#5c6370;--qvk-line:#8886;--qvk-soft:#8881;--qvk-pop:#fff;--qvk-ink:#1b1f24;
--qvk-bar:#4363d8;--qvk-bad:#b3261e;color:var(--jp-content-font-color1,var(--vscode-foreground,
inherit));font-size:14px;line-height:1.5;text-align:left;max-width:100%;position:relative}
@media (prefers-color-scheme:dark){.qvk{--qvk-muted:#a3abb8;--qvk-pop:#23272e;--qvk-ink:#e8eaed;
--qvk-bar:#8aa4ff;--qvk-bad:#ff8a80}}
[data-jp-theme-light="true"] .qvk,[data-md-color-scheme="default"] .qvk,.vscode-light .qvk
{--qvk-muted:#5c6370;--qvk-pop:#fff;--qvk-ink:#1b1f24;--qvk-bar:#4363d8;--qvk-bad:#b3261e}
[data-jp-theme-light="false"] .qvk,[data-md-color-scheme="slate"] .qvk,.vscode-dark .qvk
{--qvk-muted:#a3abb8;--qvk-pop:#23272e;--qvk-ink:#e8eaed;--qvk-bar:#8aa4ff;--qvk-bad:#ff8a80}
.qvk .qvk-text{white-space:pre-wrap;overflow-wrap:anywhere;max-width:46em;margin:4px 0;
position:relative;font-size:15px}
.qvk .qvk-text i{font-style:normal;border-radius:3px}
.qvk i.q1{background:#f5a62326}.qvk i.q2{background:#f58a1f4d}.qvk i.q3{background:#f26b1f80}
.qvk i.q4{background:#e5393599;box-shadow:inset 0 -2px #e53935}
.qvk i[data-a]{cursor:help}.qvk i[data-a]:focus{outline:2px solid var(--qvk-bar)}
.qvk i[data-a]:hover::after,.qvk i[data-a]:focus::after{content:attr(data-a);position:absolute;
z-index:9;margin-top:1.6em;margin-left:-1em;width:max-content;max-width:32em;padding:3px 8px;
background:var(--qvk-pop);color:var(--qvk-ink);border:1px solid var(--qvk-line);border-radius:5px;
font-size:13px;line-height:1.45;white-space:pre-wrap;box-shadow:0 2px 8px #0003}
@media (max-width:64em){.qvk i[data-a]:hover::after,.qvk i[data-a]:focus::after
{left:0;margin-left:0;max-width:94%}}
.qvk .qvk-facts{color:var(--qvk-muted);font-size:12.5px;margin:4px 0}
.qvk .qvk-facts i{font-style:normal;padding:0 4px;border-radius:3px}
.qvk .qvk-note{color:var(--qvk-bad);font-size:13px;margin:2px 0;overflow-wrap:anywhere}
.qvk details{margin:4px 0;color:var(--qvk-muted)}.qvk summary{cursor:pointer}
.qvk .qvk-wide{overflow-x:auto;max-width:100%}
.qvk table{border-collapse:collapse;margin:4px 0;font-size:13px;color:inherit}
.qvk th:first-child,.qvk th[dir],.qvk td[dir]{text-align:left!important}
.qvk th,.qvk td{text-align:left;vertical-align:top;padding:3px 10px 3px 0;
white-space:pre-wrap;
border:0;border-bottom:1px solid var(--qvk-line);background:none;max-width:36em;
overflow-wrap:anywhere}
.qvk td[dir]{min-width:6.5em}.qvk td.w{min-width:15em}.qvk .qvk-share{white-space:nowrap}
.qvk th{color:var(--qvk-muted);font-weight:600;white-space:nowrap}
.qvk td.n,.qvk th.n{min-width:0;text-align:right!important;white-space:nowrap;
font-variant-numeric:tabular-nums}
.qvk .qvk-bar{display:inline-block;width:7em;height:.7em;background:var(--qvk-soft);
border-radius:3px;margin-right:6px;overflow:hidden}
.qvk .qvk-bar b{display:block;height:100%;background:var(--qvk-bar)}
.qvk .qvk-strip{display:flex;flex-wrap:wrap;gap:8px;margin:4px 0}
.qvk figure{margin:0;max-width:100%}
.qvk figure img{display:block;max-width:100%;height:auto;border-radius:4px;margin:0}
.qvk figcaption{color:var(--qvk-muted);font-size:12px;max-width:14em;overflow-wrap:anywhere}
.qvk .qvk-whole figcaption{max-width:none}
.qvk pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:13px;margin:0;color:inherit;
background:none;border:0;padding:0}
.qvk .qvk-turn{border-left:3px solid var(--qvk-line);padding-left:10px;margin:8px 0}
.qvk .qvk-turn.assistant{border-color:var(--qvk-bar)}
.qvk .qvk-who{color:var(--qvk-muted);font-size:12px;text-transform:capitalize}
""".replace("\n", "")
"""Colours of tokens are transparent, so that they suit any page. The theme of JupyterLab, VS Code
or Material for MkDocs goes before that of the system."""


def framed(*blocks: str) -> str:
    """Return blocks of HTML as one form, with its style."""
    return f'<div class="qvk"><style>{STYLE}</style>{"".join(blocks)}</div>'
