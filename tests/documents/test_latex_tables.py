"""Tables in LaTeX."""

from __future__ import annotations

import pytest

from qwenvl_kit.documents.reading.latex_tables import read_latex_table
from qwenvl_kit.documents.reading.latex_text import plain_text


@pytest.mark.parametrize(
    ("latex", "rows"),
    [
        (r"\begin{tabular}{cc} a & b \\ c & d \\ \end{tabular}", (("a", "b"), ("c", "d"))),
        (r"\begin{tabular}[t]{p{3cm}|*{2}{c}} a & b & c \end{tabular}", (("a", "b", "c"),)),
        (r"\begin{tabularx}{\textwidth}{lX} a & b \\ \end{tabularx}", (("a", "b"),)),
        (r"\begin{tabular}{c} AT\&T & 5\% \\ \end{tabular}", (("AT&T", "5%"),)),
        (r"\begin{tabular}{c} \multicolumn{2}{c|}{a} & b \\ \end{tabular}", (("a", "a", "b"),)),
        (
            r"\begin{tabular}{c} \multirow{2}{*}{a} & b \\ & c \\ \end{tabular}",
            (("a", "b"), ("a", "c")),
        ),
        (
            r"\begin{tabular}{c} \multicolumn{2}{c}{\multirow{2}{*}{a}} & b \\"
            r" \multicolumn{2}{c}{} & c \\ \end{tabular}",
            (("a", "a", "b"), ("a", "a", "c")),
        ),
        (r"\begin{tabular}{c} \makecell{a \\ b} & c \\[2pt] \end{tabular}", (("a\nb", "c"),)),
        (r"\begin{tabular}{c} $x_{1}$ & \textbf{y} \\ \end{tabular}", (("$x_{1}$", "y"),)),
        (
            r"\begin{tabular}{c} \rowcolor{gray} a & b \\ \cmidrule(lr){1-2} c & d \\"
            r"\end{tabular}",
            (("a", "b"), ("c", "d")),
        ),
        (r"\begin{tabular}{c} a & b \\ c & d", (("a", "b"), ("c", "d"))),
    ],
)
def test_rows_are_read_as_they_are_set(latex: str, rows: tuple[tuple[str, ...], ...]) -> None:
    table, _ = read_latex_table(latex)
    assert table is not None
    assert table.rows == rows


def test_rows_above_the_first_inner_rule_are_headings() -> None:
    table, _ = read_latex_table(
        r"\begin{tabular}{cc}\toprule a & b \\ \cline{1-2} c & d \\ \midrule 1 & 2 \\ 3 & 4 \\"
        r"\bottomrule\end{tabular}"
    )
    assert table is not None
    assert table.header_rows == 2


def test_braces_that_do_not_match_cost_no_cells() -> None:
    table, warnings = read_latex_table(r"\begin{tabular}{cc} a & {b \\ c & d \\ \end{tabular}")
    assert table is not None
    assert table.rows == (("a", "b"), ("c", "d"))
    assert warnings == ["the braces of a table in LaTeX do not match"]


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"\textit{a} \underline{b}", "a b"),
        (r"a~b\quad c", "a b c"),
        (r"\frac{1}{2}", r"\frac{1}{2}"),
        (r"\$5 \{x\} \_", "$5 {x} _"),
        (r"$\frac{a}{b}$ is", r"$\frac{a}{b}$ is"),
    ],
)
def test_fonts_are_taken_off_and_formulas_kept(latex: str, text: str) -> None:
    assert plain_text(latex) == text
