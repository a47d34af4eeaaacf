"""The form of code is checked, and what a reader should know of it is told; nothing is run."""

from __future__ import annotations

import sys
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenvl_kit.tasks.coding.html_check import check_html
from qwenvl_kit.tasks.coding.mermaid_check import check_mermaid
from qwenvl_kit.tasks.coding.python_check import check_python
from qwenvl_kit.tasks.coding.reading import CHECKS, check
from qwenvl_kit.tasks.coding.svg_check import check_svg

DOCTYPE = "<!DOCTYPE html>"
SVG = 'xmlns="http://www.w3.org/2000/svg"'

# html5lib 1.1 says of each whether a tag, comment or element is broken; ours must say the same.
WHOLE = (
    "<html><head><title>x</title></head><body><div><p>hi</p></div></body></html>",
    *("<ul><li>a<li>b</ul>", "<table><tr><td>x<td>y</table>", "<dl><dt>a<dd>b</dl>"),
    '<script>if (a<b) {x="</div>"}</script>',
    *("<!-- x -- > --><p>a", "<!--><p>a", "<!doctype html><p>", "<?php echo 1 ?><p>x"),
    '<svg viewBox="0 0 1 1"><path d="M0"/><g><title>t</title></g></svg>',
    *("<input type=text disabled><br/><hr>", "<textarea><div></textarea>", "<title><b></title><p>"),
    *('<div class="a>b">x</div>', "<div title='a\"b'>x</div>", "<a href=x/>y</a>"),
    *("<div>a < b & c</div>", "<select><option>a<option>b</select>", "<DIV></div>"),
    *("<math><mi>x</mi></math>", "<div\nclass='a'\n id=b\n>x</div>", "<p>x</body></html>"),
    *('<img alt="a > b" src="x">', "<label>a<input></label>", "<a =b>c</a>"),
)
BROKEN = (
    *("<div></span></div>", "<p>a<b>c</p></b>", "<img src=x", '<a href="x', "<style>body {"),
    *("<!-- x", "<svg><path></svg>", "<section><article></section></article>", "<button>x"),
    *("<div/><p>x", "<h1>a</h2>", "<div><p>cut", "<script>let a = 1"),
)


@pytest.mark.parametrize("page", WHOLE)
def test_whole_html_has_no_problems(page):
    assert check_html(DOCTYPE + page).problems == ()


@pytest.mark.parametrize("page", BROKEN)
def test_broken_html_is_told(page):
    assert check_html(DOCTYPE + page).problems


def test_what_is_broken_is_told_with_its_line():
    assert check_html(f"{DOCTYPE}\n<div>\n<section>\n<p>a\n</div>\n</nav>").problems == (
        "elements that are not closed: <section> of line 3",
        "end tags without a beginning: </nav> of line 6",
    )
    assert check_html(f"{DOCTYPE}<p>a\n<img src='x").problems == (
        "the code ends within a tag of line 2",
    )
    many = check_html(DOCTYPE + "<div>" * 50_000).problems
    assert many[0].endswith("and 49,997 more")
    assert len(many[0]) < 200


def test_what_a_page_loads_and_runs_is_told():
    page = """<!DOCTYPE html><html><head><link rel=stylesheet href="https://fonts.example.com/css">
    <script src="//cdn.example.org/tailwind.js"></script>
    <style>body{background:url('http://img.example.net/b.png')}</style></head>
    <body onload="go()"><img src="https://via.example.com/150"><img src="local.png">
    </body></html>"""
    assert check_html(page).problems == ()
    assert check_html(page).notes == (
        "the page loads from elsewhere: fonts.example.com, cdn.example.org, via.example.com, "
        "and 1 more",
        "the page has 2 elements with scripts",
    )
    assert check_html("<p>a</p>").notes == ("the page has no <!DOCTYPE html>",)
    assert check_html("just words").problems == ("the code has no element of HTML",)


@pytest.mark.parametrize(
    "page",
    [
        *("<a " * 50_000, "<!--" * 50_000, "<script>" * 50_000, "<" * 100_000, '<a ="' * 30_000),
        *("<script>" + "</script " * 30_000, "<div>" * 50_000 + "</p>" * 50_000, "</b>" * 50_000),
        *("<a " + " ".join(f"b{n}" for n in range(30_000)) + ">", "<!" * 50_000, "</" * 50_000),
        *("<a b=" + " " * 100_000 + '"', "<svg>" * 50_000, "<style>url(" * 30_000),
    ],
)
def test_odd_html_is_checked_in_linear_time(page):
    assert check_html(page).problems


def test_a_drawing_is_xml_of_the_right_kind():
    assert check_svg(f"<svg {SVG}><circle r='1'/></svg>").problems == ()
    assert check_svg(f"<?xml version='1.0'?>\n<!-- a -->\n<svg {SVG}/>").problems == ()
    dtd = '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/svg11.dtd">'
    assert check_svg(f"{dtd}<svg {SVG}/>").problems == ()
    assert "has no xmlns" in check_svg("<svg/>").problems[0]
    assert "<html>" in check_svg("<html/>").problems[0]
    assert check_svg(f"<svg {SVG}><g></svg>").problems[0] == (
        "it is no XML: mismatched tag, line 1"
    )
    for broken in ("", "words", f"<svg {SVG}>&nbsp;</svg>", f"<svg {SVG}>\ud800</svg>", "<svg"):
        assert check_svg(broken).problems


def test_entities_are_never_expanded():
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    bomb = f'<!DOCTYPE svg [<!ENTITY l0 "ha">{laughs}]><svg {SVG}>&l9;</svg>'
    assert check_svg(bomb).problems == ("the drawing declares entities, which are not expanded",)
    outside = f'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg {SVG}>&x;</svg>'
    assert check_svg(outside).problems == check_svg(bomb).problems


def test_what_a_drawing_can_do_is_told():
    drawing = (
        f'<svg {SVG} onload="go()"><script>go()</script><image href="https://x.example/a.png"/>'
        '<a href="https://y.example/"/><style>@import "http://z.example/a.css"</style>'
        '<rect fill="url(#local)"/><rect fill="url(https://x.example/a)"/></svg>'
    )
    assert check_svg(drawing).notes == (
        "the drawing can act: onload, <script>",
        "the drawing loads from elsewhere: <image>, <style>, fill",
    )


def test_a_chart_is_python_that_parses():
    code = "import matplotlib.pyplot as plt\nfrom numpy import pi\nimport os, pandas\n"
    found = check_python(code)
    assert found.problems == ()
    assert found.imports == ("matplotlib", "numpy", "os", "pandas")
    assert found.notes == ("it imports more than a chart needs: os",)
    assert "line 2" in check_python("import math\nprint 'x'").problems[0]
    assert check_python("# nothing").problems == ("the code has no statement",)


def test_what_reaches_files_or_runs_code_is_told():
    code = "import numpy as np\nnp.load('a')\nx = open('b')\ny = ().__class__\nplt.savefig('c')"
    said = "".join(check_python(code).notes)
    assert said.startswith("it reaches files or runs code: ")
    for name in ("open of line 3", "load of line 2", "__class__ of line 4"):
        assert name in said


@pytest.mark.parametrize(
    "code",
    [
        *("-" * 100_000 + "1", "1+" * 100_000 + "1", "a" + ".b" * 100_000, "(" * 10_000),
        *("lambda:" * 50_000 + "1", "a" + "()" * 100_000, "x = 'a\x00b'", "x = '\ud800'"),
        *("if 1:\n 1\n" + "elif 1:\n 1\n" * 20_000, 'f"{' * 1000, "0x" + "g" * 1000),
    ],
)
def test_python_that_is_nested_too_deep_or_odd_is_a_value(code):
    found = check_python(code)
    assert found.problems or sys.version_info < (3, 11)


def test_no_warning_of_the_parser_reaches_the_user():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_python(r'import math; x = "\d"; x is "a"').problems == ()


# Mermaid 11.17's own parser, in a browser, says the same of each of these.
GOOD = (
    'graph TB\n  E["A(demo)"] -->|AA| F[Succ]\n  G["B，test"] -->|BB | N[B]',
    "flowchart TD\n A((c)) --> B(((d))) --> C{{h}} --> D([s]) --> E[[u]]",
    "flowchart TD\n E[[u]] --> F[(db)] --> G>f] --> H{r}",
    "flowchart TD\n A[/para/] --> B[\\alt\\] --> C[/trap\\] --> D[\\inv/]",
    'flowchart TD\n A -- text (x) --> B\n A -->|"x (y)"| B\n A@{ shape: rect, label: "x (y)" }',
    'flowchart TD\n A["`Markdown **x**\n second`"] --> B:::cls\n classDef cls fill:#f9f',
    "graph TD; A-->B; B-->C;",
    "flowchart TD\n subgraph SH[Shared Cluster]\n S1[API/Ingress] --> S2\n end\n A --> End[Done]",
    'flowchart TD\n style A fill:#fff\n A & B --> C\n click A "https://x.org/(a)" "tip (x)"',
    "sequenceDiagram\n A->>B: hi (x\n loop every\n B-->>A: y\n end\n alt1->>B: z",
    "sequenceDiagram\n alt a\n A->>B: x\n else b\n A->>B: y\n end",
    "classDiagram\n class A {\n +int x\n +foo(a) bool\n }\n A <|-- B",
    "stateDiagram-v2\n [*] --> A\n state A {\n [*] --> b\n }",
    "erDiagram\n CUSTOMER ||--o{ ORDER : places\n CUSTOMER {\n string name\n }",
    *('pie title Pets\n "Dogs" : 386', "mindmap\n root((x))\n  id)cloud(", "gitGraph\n commit"),
    '---\ntitle: x\n---\n%%{init: {"theme":"dark"}}%%\nflowchart LR\n a-->b',
    "%% a remark (\nsankey-beta\n a,b,1",
)
BAD = {
    # marktext/marktext 4014, bra1nDump/show-me-chatgpt-plugin 34, can1357/oh-my-pi 10489
    "flowchart TD\n A[Tenant] --> B[Provisioner (Terraform + Helm)]": "without quotes: line 2",
    "flowchart TD\n subgraph DT[Dedicated (per tenant)]\n end": "without quotes: line 2",
    "graph TB\n  E[A(demo)] -->|AA| F[Succ]": "without quotes: line 2",
    "flowchart LR\n A[x (y)]": "without quotes: line 2",
    # mjbvz/vscode-markdown-mermaid 330, probelabs/maid 60, Classic298/open-webui-plugins 44
    "graph TD\n A -->|Text with (parentheses)| B": "label of an edge without quotes: line 2",
    "flowchart TD\nD1{Pain (or risk)?}": "without quotes: line 2",
    "flowchart TD\n C1[/clean/ /status/] --> B\n X[] --> B": "without words: line 3",
    "flowchart TD\n A --> end[Done]": "a node named end",
    "flowchart TD\n subgraph one\n a-->b": "subgraphs without end: line 2",
    "flowchart TD\n a-->b\n end": "end of no subgraph: line 3",
    'flowchart TD\n A["unclosed --> B': "quotes that do not close: line 2",
    "flowchart TD\n A --> B\n B --> A[x]]": "brackets that close nothing: line 3",
    "flowchart TD\n A[unclosed --> B": "do not close: line 2",
    'flowchart TD\n A[say "hi"] --> B': "without quotes: line 2",
    "sequenceDiagram\n A->>B: hi\n loop every\n B-->>A: y": "blocks without end: loop of line 3",
    "sequenceDiagram\n A->>B: x\n end": "end of no block: line 3",
    "classDiagram\n class A {\n +int x": "braces that do not close: line 2",
    "digraph G { a -> b }": "'digraph' is no diagram of Mermaid",
    "flow TD\n a-->b": "'flow' is no diagram",
    "flowchart": "nothing follows",
    "%% only a remark": "no diagram",
}


@pytest.mark.parametrize("diagram", GOOD)
def test_a_good_diagram_has_no_problems(diagram):
    assert check_mermaid(diagram).problems == ()


@pytest.mark.parametrize("diagram", BAD)
def test_a_diagram_that_mermaid_refuses_is_told(diagram):
    assert BAD[diagram] in "; ".join(check_mermaid(diagram).problems)


@pytest.mark.parametrize(
    "diagram",
    [
        *("flowchart TD\n" + "a[" * 50_000, "flowchart TD\n" + 'a["x"] --> ' * 20_000 + "["),
        *("flowchart TD\n" + "|" * 100_001, "flowchart TD\n" + "subgraph a[b\n" * 20_000),
        *("flowchart TD\n" + "A@{" * 30_000, "---\n" * 50_000, "%%{" * 50_000, "pie\n" * 2),
        *("flowchart TD\n" + "a" * 100_000, "flowchart TD\n" + "--> " * 50_000 + "end"),
        *("flowchart TD\n" + "subgraph " * 20_000, "flowchart TD\n" + 'a[" ' * 30_000),
    ],
)
def test_odd_diagrams_are_checked_in_linear_time(diagram):
    check_mermaid(diagram)


@pytest.mark.parametrize("form", CHECKS)
@given(text=st.text(alphabet="<>/!-=\"'`~ab \n[](){}|&;:%\\\x00\ud800", max_size=80))
def test_whatever_stands_there_is_a_value(form, text):
    check(text, form)
