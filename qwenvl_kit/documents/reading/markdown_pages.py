r"""The reader of pages that models write as Markdown: the prompt `qwenvl markdown`.

Qwen3-VL and later families write Markdown in which a comment such as `<!-- Image (x1, y1, x2, y2)
-->` stands for a picture, and `<!-- Table (x1, y1, x2, y2) -->` before a table, which is a
LaTeX `tabular` (cookbook `document_parsing.ipynb` of Qwen3-VL). Tables in Markdown and HTML are
read, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from qwenvl_kit.documents.blocks import BlockKind
from qwenvl_kit.documents.reading import markdown_marks as marks
from qwenvl_kit.documents.reading.formulas import without_marks
from qwenvl_kit.documents.reading.html_pages import read_html_blocks
from qwenvl_kit.documents.reading.kind_words import level_of
from qwenvl_kit.documents.reading.latex_tables import BEGINS_TABLE, read_latex_table, table_end
from qwenvl_kit.documents.reading.latex_text import plain_text
from qwenvl_kit.documents.reading.markdown_tables import is_delimiter, read_markdown_table
from qwenvl_kit.documents.reading.places import Place, place_of
from qwenvl_kit.documents.reading.written import WrittenBlock, WrittenPage, inner_span
from qwenvl_kit.documents.tables import Table, text_of

_CLOSINGS = {"$$": "$$", "\\[": "\\]"}
_PICTURES = ("image", "chart")
_TAB = " " * 4
_MOST_LINE = 10_000
"""The characters after which a line is taken for two."""


def read_markdown_page(text: str) -> WrittenPage:
    """Read a page from an answer in Markdown, within a fence of backticks or not; never raises."""
    reader = _PageReader(text, *inner_span(text, ("markdown", "md")))
    reader.read()
    return WrittenPage(tuple(reader.blocks), tuple(dict.fromkeys(reader.warnings)))


class _PageReader:
    """Reads block after block; each step begins where the last one ended.

    A line ends at its end, or where a comment begins in it.
    """

    def __init__(self, text: str, start: int, stop: int) -> None:
        self._text, self._at, self._stop = text, start, stop
        self._place: Place | None = None
        self._missing: set[str] = set()
        self._line_start, self._line_end = 1, 0
        self.blocks: list[WrittenBlock] = []
        self.warnings: list[str] = []

    def read(self) -> None:
        """Read all blocks."""
        while self._at < self._stop:
            line = self._line()
            if not line.strip():
                self._at = self._next(self._at + len(line))
            elif line.startswith("<!--"):
                self._comment()
            else:
                self._block(line)
        self._end_place()

    def _block(self, line: str) -> None:
        """Read the block that begins with a line."""
        for mark, read in self._readers():
            if mark.match(line):
                read(line)
                return
        if BEGINS_TABLE.match(line.lstrip()):
            self._latex_table()
        elif self._is_table(line):
            self._markdown_table()
        else:
            self._paragraph(line)

    def _readers(self) -> tuple[tuple[re.Pattern[str], Callable[[str], None]], ...]:
        return (
            (marks.FENCE, self._code),
            (marks.FORMULA, self._formula),
            (marks.HEADING, self._heading),
            (marks.RULE, self._skip),
            (marks.TABLE_NOISE, self._skip),
            (marks.CAPTION, self._caption),
            (marks.HTML, self._html),
            (marks.IMAGE, self._image),
            (marks.LIST_ITEM, self._list),
        )

    def _line(self, at: int | None = None) -> str:
        """The line at a position, up to its end or to a comment in it."""
        start = self._at if at is None else at
        if not self._line_start <= start <= self._line_end:
            end = self._text.find("\n", start, self._stop)
            self._line_start, self._line_end = start, self._stop if end < 0 else end
        end = min(self._line_end, start + _MOST_LINE)
        comment = marks.COMMENT.search(self._text, start + 1, end)
        return self._text[start : end if comment is None else comment.start()]

    def _next(self, end: int) -> int:
        """The position after the end of a line."""
        return end + 1 if self._text.startswith("\n", end) else end

    def _lines(self, goes_on: Callable[[str], bool]) -> list[str]:
        """The lines from here on as long as they go on; the first is always one."""
        found = [self._line()]
        at = self._next(self._at + len(found[0]))
        self._end = self._at + len(found[0])
        while at < self._stop and self._text[at - 1] == "\n":
            line = self._line(at)
            if line.startswith("<!--") or not goes_on(line):
                break
            found.append(line)
            self._end = at + len(line)
            at = self._next(self._end)
        self._start, self._at = self._at, at
        return found

    def _skip(self, line: str) -> None:
        self._at = self._next(self._at + len(line))

    def _add(
        self,
        kind: BlockKind,
        text: str,
        start: int,
        stop: int,
        *,
        level: int | None = None,
        table: Table | None = None,
    ) -> None:
        """Add a block; the place of the comment before it is its own."""
        place, self._place = self._place, None
        block = WrittenBlock(kind, text, start, stop, level, table)
        if place is not None:
            if kind == "text" or (kind == "table" and place.kind == "chart"):
                kind = place.kind or kind
            level = level_of(place.words) if kind == "heading" and level is None else level
            block = replace(
                block, kind=kind, level=level, numbers=place.numbers, numbers_at=place.numbers_at
            )
        self.blocks.append(block)

    def _comment(self) -> None:
        """Read a comment, which may be the place of a picture, or of what follows it."""
        end = self._find("-->", self._at)
        stop = self._stop if end is None else end
        place = place_of(self._text[self._at + 4 : stop], self._at + 4)
        if end is None:
            self.warnings.append("the answer ends inside a comment")
        start, self._at = self._at, self._stop if end is None else end + 3
        if place is None:
            return
        self._end_place()
        if place.warning:
            self.warnings.append(place.warning)
        self._place = place
        if place.kind in _PICTURES and not self._is_chart_with_table(place):
            self._picture(place, start)

    def _is_chart_with_table(self, place: Place) -> bool:
        if place.kind != "chart":
            return False
        at = self._at
        while at < self._stop and self._text[at].isspace():
            at += 1
        line = self._line(at)
        is_html = line.lstrip().lower().startswith("<table")
        return is_html or bool(BEGINS_TABLE.match(line.lstrip())) or line.startswith("|")

    def _picture(self, place: Place, start: int) -> None:
        """Add a picture; an image of Markdown on the next line has its description."""
        at = self._next(self._at)
        found = marks.IMAGE.match(self._line(at)) if at < self._stop else None
        text = "" if found is None else found[1].strip()
        if found is not None:
            self._at = at + found.end()
        self._add(place.kind or "image", text, start, self._at)

    def _end_place(self) -> None:
        """Add a block without text for a place that nothing follows."""
        place = self._place
        if place is not None and place.kind == "table":
            self.warnings.append("the place of a table without the table")
            self._add("table", "", *place.numbers_at)
        self._place = None

    def _find(self, mark: str, at: int) -> int | None:
        """The position of the next mark; None if there is none."""
        found = -1 if mark in self._missing else self._text.find(mark, at, self._stop)
        if found < 0:
            self._missing.add(mark)
        return None if found < 0 else found

    def _code(self, line: str) -> None:
        opened = marks.FENCE.match(line)
        fence = opened[1] if opened else "```"
        closing = re.compile(rf" {{0,3}}{re.escape(fence[0])}{{{len(fence)},}}[ \t]*$")
        start = at = self._next(self._at + len(self._whole_line(self._at)))
        stop = self._stop
        while at < self._stop:
            whole = self._whole_line(at)
            if closing.match(whole):
                stop = at
                break
            at = self._next(at + len(whole))
        else:
            self.warnings.append("a block of code is not closed")
        content = self._text[start:stop].removesuffix("\n")
        self._at = (
            self._stop if stop == self._stop else self._next(stop + len(self._whole_line(stop)))
        )
        language = opened[2].strip().lower() if opened else ""
        if language in ("latex", "tex") and BEGINS_TABLE.match(content.lstrip()):
            self._table(content, start, stop, *read_latex_table(content))
        else:
            self._add("code", content, start, stop)

    def _whole_line(self, at: int) -> str:
        end = self._text.find("\n", at, self._stop)
        return self._text[at : self._stop if end < 0 else end]

    def _formula(self, line: str) -> None:
        opened = marks.FORMULA.match(line)
        mark = opened[1] if opened else "$$"
        closing = _CLOSINGS.get(mark) or mark.replace("\\begin", "\\end", 1)
        start = self._at + (opened.start(1) if opened else 0)
        end = self._find(closing, start + len(mark))
        if end is not None and line[end + len(closing) - self._at :].strip():
            self._paragraph(line)  # a formula within a sentence
            return
        stop = self._stop if end is None else end + len(closing)
        if end is None:
            self.warnings.append("a formula is not closed")
            blank = self._find("\n\n", start)
            stop = self._stop if blank is None else blank
        text = self._text[start:stop]
        inside = text.removeprefix(mark).strip() if end is None else without_marks(text)
        self._at = stop
        self._add("formula", inside, start, stop)

    def _heading(self, line: str) -> None:
        opened = marks.HEADING.match(line)
        level, begin = (len(opened[1]), opened.end()) if opened else (1, 0)
        text = re.sub(r"[ \t]+#+$", "", line[begin:].rstrip()).strip()
        start = self._at + begin
        self._skip(line)
        if text:
            end = start + len(line) - begin
            self._add("heading", marks.unescaped(text), start, end, level=level)

    def _caption(self, line: str) -> None:
        found = marks.CAPTION.match(line)
        start = self._at
        self._skip(line)
        self._add("caption", plain_text(found[1] if found else ""), start, start + len(line))

    def _image(self, line: str) -> None:
        found = marks.IMAGE.match(line)
        start = self._at
        self._skip(line)
        self._add("image", found[1].strip() if found else "", start, start + len(line))

    def _html(self, line: str) -> None:
        """Read elements of HTML: a table up to its end, others up to an empty line."""
        mark = "</table>" if line.lstrip().lower().startswith("<table") else "\n\n"
        end = self._find(mark, self._at)
        stop = self._stop if end is None else end + len(mark.strip())
        start, self._at = self._at, stop
        page = read_html_blocks(self._text, start, stop)
        self.warnings += page.warnings
        self.blocks += [self._with_place(block) for block in page.blocks]

    def _with_place(self, block: WrittenBlock) -> WrittenBlock:
        """A block of HTML, with the place of the comment before it if it has none."""
        place, self._place = self._place, None
        if place is None or block.numbers is not None:
            return block
        kind = "chart" if place.kind == "chart" else block.kind
        at = place.numbers_at
        return replace(block, kind=kind, numbers=place.numbers, numbers_at=at)

    def _latex_table(self) -> None:
        start = self._at
        end = None if "latex" in self._missing else table_end(self._text, start)
        if end is None or end > self._stop:
            self._missing.add("latex")
            self.warnings.append("a table in LaTeX is not closed")
            blank = self._find("\n\n", start)
            end = self._stop if blank is None else blank
        self._at = end
        content = self._text[start:end]
        self._table(content, start, end, *read_latex_table(content))

    def _is_table(self, line: str) -> bool:
        if "|" not in line:
            return False
        end = self._next(self._at + len(line))
        below = self._line(end) if end < self._stop else ""
        is_row = line.lstrip().startswith("|")
        return is_delimiter(below) or (is_row and line.count("|") > 1)

    def _markdown_table(self) -> None:
        lines = self._lines(lambda line: "|" in line and bool(line.strip()))
        content = self._text[self._start : self._end]
        self._table(content, self._start, self._end, *read_markdown_table(lines))

    def _table(
        self, content: str, start: int, stop: int, table: Table | None, told: list[str]
    ) -> None:
        self.warnings += told
        text = content if table is None else text_of(table)
        self._add("table", text, start, stop, table=table)

    def _list(self, _: str) -> None:
        lines = self._lines(self._is_of_list)
        while self._goes_on_after_blank():
            lines += self._more_of_list()
        self._add("list", "\n".join(_items(lines)), self._start, self._end)

    def _is_of_list(self, line: str) -> bool:
        return bool(line.strip()) and not marks.begins_block(line)

    def _goes_on_after_blank(self) -> bool:
        """True if an item, or a line that is indented, follows an empty line."""
        at = self._at
        while at < self._stop and self._text[at] == "\n":
            at += 1
        if at == self._at or at >= self._stop:
            return False
        line = self._line(at)
        is_item = marks.LIST_ITEM.match(line) is not None and not marks.RULE.match(line)
        return is_item or (line.startswith(("  ", "\t")) and bool(line.strip()))

    def _more_of_list(self) -> list[str]:
        start = self._start
        while self._text[self._at] == "\n":
            self._at += 1
        lines = self._lines(self._is_of_list)
        self._start = start
        return lines

    def _paragraph(self, first: str) -> None:
        lines = self._lines(self._is_of_paragraph)
        underline = marks.UNDERLINE.match(lines[-1]) if len(lines) > 1 else None
        level = None
        if underline is not None and len(lines) == 2:
            level = 1 if underline[1][0] == "=" else 2
            lines.pop()
        texts = [marks.unescaped(marks.QUOTE.sub("", line)).strip() for line in lines]
        text = "\n".join(filter(None, texts))
        self._add("text" if level is None else "heading", text, self._start, self._end, level=level)

    def _is_of_paragraph(self, line: str) -> bool:
        if not line.strip():
            return False
        return bool(marks.UNDERLINE.match(line)) or not marks.begins_block(line)


def _items(lines: list[str]) -> Iterator[str]:
    """The lines of a list, each level indented by two spaces more."""
    depths: list[int] = []
    for line in (line.replace("\t", _TAB) for line in lines):
        item = marks.LIST_ITEM.match(line)
        if item is None:
            yield "  " * len(depths) + line.strip()
            continue
        indent = len(item[1])
        while depths and depths[-1] >= indent:
            depths.pop()
        depths.append(indent)
        mark = "-" if item[2] in "*+\u2022\u25cf\u25aa\u00b7-" else item[2]
        yield "  " * (len(depths) - 1) + f"{mark} {line[item.end() :].strip()}"
