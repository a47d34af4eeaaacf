"""A plan can be read: in a terminal as a table, in a notebook as HTML."""

from __future__ import annotations

from html.parser import HTMLParser

import PIL.Image

from qwenvl_kit import ImagePart, Message, VideoPart, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend

RED = PIL.Image.new("RGB", (640, 480), "red")


def _plan(context_tokens=4096, parts=None):
    chat = VisionChat(ScriptedBackend(["x"], context_tokens=context_tokens))
    parts = parts or [ImagePart(RED), VideoPart([RED, RED, RED], fps=1)]
    return chat.plan([Message.user(*parts, "What is this?")])


def test_a_printed_plan_has_a_row_for_each_part_in_their_order():
    lines = str(_plan(parts=[VideoPart([RED] * 3, fps=1), ImagePart(RED)])).splitlines()
    assert lines[2].split()[0] == "messages[0].parts[0]"
    assert lines[3].split()[0] == "messages[0].parts[1]"


def test_a_printed_plan_adds_up():
    plan = _plan()
    cells = dict(line.rsplit("  ", 1) for line in str(plan).splitlines() if "  " in line)
    cells = {name.strip(): cell.strip() for name, cell in cells.items()}
    assert cells["prompt"] == f"{plan.prompt_tokens:,}"
    assert cells["text and template"] == f"{plan.prompt_tokens - plan.visual_tokens:,}"
    assert cells["context"] == "4,096"


def test_a_plan_that_does_not_fit_says_so_and_what_to_try():
    text = str(_plan(context_tokens=300))
    assert "does not fit the model's context" in text
    assert "try: budget=PixelBudget(total_tokens=" in text


def test_the_columns_of_a_printed_plan_are_aligned():
    table = str(_plan()).splitlines()[:4]
    assert len({line.rfind("  ") for line in table[1:2]}) == 1
    assert all(len(line) == len(table[0]) for line in table)


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.cells, self.open = [], []

    def handle_starttag(self, tag, attrs):
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] in ("td", "th", "p"):
            self.cells.append(data)


def test_a_notebook_shows_the_same_cells_in_sound_html():
    plan = _plan(context_tokens=300)
    reader = _Reader()
    reader.feed(plan._repr_html_())
    assert reader.open == []
    text = str(plan)
    assert all(cell in text for cell in reader.cells)
    assert "messages[0].parts[0]" in reader.cells
