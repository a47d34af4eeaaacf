"""What README and the pages of the documentation show works as it stands there."""

from __future__ import annotations

import builtins
import io
import sys
import traceback
import types
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from tests.docs.blocks import ROOT, Block, blocks_of, misnamed, pages, promised_prints
from tests.docs.stage import Props, draw_files, names_for, pretend

PAGES = pages()

UNABLE = {
    ("docs/guide/code.md", "render_and_compare("): "a browser, which tests/tasks starts",
    ("docs/guide/live.md", "chat.watch(0,"): "a camera",
    ("docs/guide/live.md", "rtsp://"): "a camera in the network",
    ("docs/guide/live.md", "while True:"): "a camera in the network",
    (
        "docs/guide/evaluation.md",
        "evaluate_on_ray",
    ): "a cluster of Ray, which tests/distributed starts",
    ("docs/guide/servers.md", "import ray"): "a cluster of Ray, which tests/distributed starts",
    (
        "docs/guide/training_launch.md",
        "/shared/",
    ): "a cluster of Ray, which tests/distributed starts",
    ("docs/guide/pictures.md", "https://images.example.com"): "a host in the network",
}
"""What a block needs that no test machine has, by its page and words that it holds."""


def needs_more(block: Block) -> bool:
    return any(page == block.page and words in block.code for page, words in UNABLE)


class Prints:
    """A `print` that compares what a line prints with what the page says."""

    def __init__(self) -> None:
        self.promised: dict[int, str] = {}
        self.broken: list[str] = []

    def __call__(self, *values: Any, **options: Any) -> None:
        buffer = io.StringIO()
        builtins.print(*values, **{**options, "file": buffer, "flush": False})
        frame = sys._getframe(1)
        wanted = self.promised.get(frame.f_lineno)
        said = buffer.getvalue().strip()
        if wanted is not None and said != wanted:
            self.broken.append(f"line {frame.f_lineno} prints {said!r}, the page says {wanted!r}")


def run_block(block: Block, module: types.ModuleType, prints: Prints) -> None:
    prints.promised = promised_prints(block)
    try:
        with redirect_stdout(io.StringIO()):
            exec(compile(block.tree, block.page, "exec"), module.__dict__)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == block.page]
        told = f"{block.page}:{lines[-1] if lines else block.line}: {type(error).__name__}: {error}"
        raise AssertionError(told) from error
    assert not prints.broken, f"{block.page}: {prints.broken}"


@pytest.fixture(scope="module")
def props(tmp_path_factory: pytest.TempPathFactory) -> Props:
    return Props(tmp_path_factory.mktemp("props"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs_and_prints_what_the_page_says(
    page: str, tmp_path: Path, props: Props, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = blocks_of(page)
    draw_files(blocks, tmp_path, props)
    monkeypatch.chdir(tmp_path)
    pretend(monkeypatch, page)
    module = types.ModuleType("a_page")
    monkeypatch.setitem(sys.modules, "a_page", module)
    prints = Prints()
    module.__dict__.update(names_for(page), print=prints)
    for block in blocks:
        if not needs_more(block):
            run_block(block, module, prints)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_only_what_there_is(page: str) -> None:
    known: dict[str, Any] = {}
    assert [wrong for block in blocks_of(page) for wrong in misnamed(block, known)] == []


def test_each_block_that_cannot_run_is_still_there() -> None:
    everything = [block for page in PAGES for block in blocks_of(page)]
    for page, words in UNABLE:
        assert any(block.page == page and words in block.code for block in everything), words


def test_pages_are_found() -> None:
    assert "README.md" in PAGES
    assert {"docs/index.md", "docs/guide/asking.md"} <= set(PAGES)
    assert all((ROOT / page).exists() for page in PAGES)


def test_a_name_or_keyword_that_there_is_not_is_told_with_its_line() -> None:
    code = (
        "from qwenvl_kit import Nothing, Sampling\n"
        "chat.ask('a', budgets='fine')\n"
        "Sampling(max_tokens=3)\n"
        "chat.tell('a')\n"
        "chat.ask('a', budget='fine')\n"
        "try:\n    chat.ask('a', budgets='fine')\nexcept TypeError:\n    pass\n"
    )
    assert list(misnamed(Block("page.md", 7, code), {})) == [
        "page.md:7: qwenvl_kit has no Nothing",
        "page.md:8: chat.ask() takes no budgets=",
        "page.md:9: Sampling() takes no max_tokens=",
        "page.md:10: chat has no tell",
    ]


def test_a_print_that_differs_from_its_comment_is_told_with_its_line() -> None:
    block = Block("page.md", 5, "print(1 + 1)  # 3\nprint(True)  # True\nprint(4)  # a number\n")
    prints = Prints()
    with pytest.raises(AssertionError, match="line 5 prints '2', the page says '3'"):
        run_block(block, _module(prints), prints)


def test_an_error_is_told_with_its_line() -> None:
    prints = Prints()
    with pytest.raises(AssertionError, match=r"page\.md:9: ZeroDivisionError"):
        run_block(Block("page.md", 8, "a = 0\nprint(1 / a)\n"), _module(prints), prints)


def _module(prints: Prints) -> types.ModuleType:
    module = types.ModuleType("a_page")
    module.__dict__.update(print=prints)
    return module
