"""Each room imports only the rooms below it. The arrows are read from the code itself."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import qwenvl_kit

PACKAGE = Path(qwenvl_kit.__file__).parent

ROOMS: dict[str, tuple[str, ...]] = {
    "errors": ("errors", "safe_text"),
    "display": ("display",),
    "arguments": ("arguments",),
    "values": ("geometry", "messages", "options", "plans", "results", "tables"),
    "families": ("families",),
    "hardware": ("hardware",),
    "journal": ("journal", "whole_files"),
    "checkpoints": ("checkpoints",),
    "budget": ("budget",),
    "media": ("media",),
    "prompts": ("prompts",),
    "processing": ("processing",),
    "structured output": ("structured_output",),
    "tools": ("tools",),
    "requests": ("formats", "requests"),
    "backend base": ("backends",),
    "local backend": ("backends.local",),
    "server backend": ("backends.server",),
    "vLLM backend": ("backends.vllm",),
    "OpenVINO backend": ("backends.openvino",),
    "scripted backend": ("backends.scripted",),
    "grounding": ("grounding",),
    "documents": ("documents",),
    "calibration": ("calibration",),
    "listeners": ("pipeline.listeners",),
    "diagnostics": ("diagnostics",),
    "embedded": ("embedded",),
    "chat": ("chat", "conversation", "live", "pipeline"),
    "tasks": ("tasks",),
    "telemetry": ("telemetry",),
    "distributed": ("distributed",),
    "integrations": ("integrations",),
    "testing": ("testing",),
    "training": ("training",),
    "evaluation": ("evaluation",),
    "explain": ("explain",),
    "command line": ("__main__", "command_line"),
    "names at the top": ("",),
}
"""Which modules make up a room; a module belongs to the room with its longest prefix."""

BELOW_BACKENDS = {"errors", "values", "families", "budget", "media", "structured output"}

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "display": {"errors"},
    "arguments": {"errors"},
    "values": {"errors", "display", "arguments"},
    "families": {"errors", "values"},
    "hardware": set(),
    "journal": {"errors"},
    "checkpoints": {"errors", "display", "values", "families", "hardware"},
    "budget": {"errors", "values", "families"},
    "media": {"errors", "display", "arguments", "values", "hardware", "budget"},
    "prompts": {"errors", "values", "families"},
    "processing": {"errors", "values", "families", "budget", "media", "prompts", "checkpoints"},
    "structured output": {"errors"},
    "tools": {"errors", "values", "prompts", "structured output"},
    "requests": {"errors", "arguments", "values", "media", "structured output", "tools"},
    "backend base": BELOW_BACKENDS,
    "local backend": BELOW_BACKENDS
    | {"display", "backend base", "checkpoints", "hardware", "processing"},
    "server backend": BELOW_BACKENDS | {"backend base", "checkpoints", "processing", "prompts"},
    "vLLM backend": BELOW_BACKENDS | {"display", "backend base", "checkpoints", "processing"},
    "OpenVINO backend": BELOW_BACKENDS
    | {"backend base", "local backend", "checkpoints", "processing"},
    "scripted backend": BELOW_BACKENDS | {"backend base"},
    "grounding": {"errors", "display", "values", "families", "media"},
    "documents": {"errors", "display", "values", "families", "media", "grounding"}
    | {"structured output"},
    "calibration": {"errors", "display", "values", "grounding"},
    "listeners": {"values"},
    "diagnostics": {"errors", "display", "families", "hardware"},
    "embedded": set(),
    "chat": BELOW_BACKENDS
    | {"display", "arguments", "backend base", "calibration", "checkpoints", "diagnostics"}
    | {"embedded", "journal", "listeners", "requests", "tools"},
    "tasks": {"errors", "display", "arguments", "values", "media", "structured output", "requests"}
    | {"journal", "chat", "grounding", "documents"},
    "telemetry": {"errors", "values", "listeners", "chat"},
    "evaluation": {"errors", "arguments", "values", "families", "budget", "media", "requests"}
    | {"grounding", "calibration", "journal", "chat", "tasks", "display"},
    "explain": {"errors", "arguments", "values", "media", "structured output", "requests"}
    | {"backend base", "chat"},
    "distributed": {"errors", "arguments", "values", "requests", "chat", "training"}
    | {"evaluation"},
    "integrations": {"errors", "values", "budget", "media", "requests", "chat"},
    "testing": {"errors", "families", "processing"},
    "training": {"errors", "display", "arguments", "values", "families", "budget", "media"}
    | {"checkpoints", "processing", "tools", "requests", "grounding", "journal", "chat"}
    | {"embedded", "hardware", "local backend"},
    "command line": {"errors", "values", "media", "requests", "checkpoints", "diagnostics", "chat"}
    | {"grounding", "tasks", "training", "evaluation", "names at the top"},
    "names at the top": {"errors", "values", "media", "requests", "chat", "checkpoints"}
    | {"diagnostics"},
}
"""The table of docs/design.md; a room may always import itself."""

LOADED_ON_DEMAND = {
    ("backends", f"backends.{name}") for name in ("local", "openvino", "server", "vllm")
}
"""The factories that reach upwards, when they are called."""

MOST_FILES, MOST_FOLDERS, MOST_CODE_LINES = 16, 28, 500


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        yield name.removesuffix("__init__").removesuffix("."), path


def room_of(module: str) -> str:
    matches = [
        (len(prefix), room)
        for room, prefixes in ROOMS.items()
        for prefix in prefixes
        if module == prefix or (prefix and module.startswith(f"{prefix}."))
    ]
    assert matches, f"{module} belongs to no room: give it one in ROOMS and in docs/design.md"
    return max(matches)[1]


def imports_of(path: Path) -> Iterator[str]:
    """Modules of the package that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} uses a relative import"
            names = [node.module or ""]
            if node.module == "qwenvl_kit":
                names = [f"qwenvl_kit.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.partition(".")[0] == "qwenvl_kit":
                yield name.removeprefix("qwenvl_kit").removeprefix(".")


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=str)
def test_a_module_imports_only_rooms_below_its_own(module: str, path: Path) -> None:
    room = room_of(module)
    for imported in imports_of(path):
        if (module, imported) in LOADED_ON_DEMAND:
            continue
        other = room_of(imported)
        assert other == room or other in MAY_IMPORT[room], f"{module} imports {imported}"


def test_the_rooms_have_no_cycle() -> None:
    seen: set[str] = set()
    while len(seen) < len(MAY_IMPORT):
        free = {room for room, below in MAY_IMPORT.items() if room not in seen and below <= seen}
        assert free, f"a cycle among {set(MAY_IMPORT) - seen}"
        seen |= free


@pytest.mark.parametrize("room", ["budget", "checkpoints", "media", "families", "prompts"])
def test_pure_rooms_import_no_torch(room: str) -> None:
    for module, path in modules():
        if room_of(module) == room:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                in_use = [
                    name for name in names if name.partition(".")[0] in ("torch", "transformers")
                ]
                assert not in_use, module


def test_the_top_folder_can_be_taken_in_at_a_glance() -> None:
    files = [path.name for path in PACKAGE.glob("*.py")]
    folders = [path.parent.name for path in PACKAGE.glob("*/__init__.py")]
    assert len(files) <= MOST_FILES, sorted(files)
    assert len(folders) <= MOST_FOLDERS, sorted(folders)


def test_no_module_imports_itself_by_way_of_others() -> None:
    known = dict(modules())
    left = {module: dict.fromkeys(imported_modules(path, known)) for module, path in known.items()}
    for module, imported in LOADED_ON_DEMAND:
        left[module].pop(imported, None)
    while free := {
        module for module, imported in left.items() if not imported.keys() & left.keys()
    }:
        left = {module: imported for module, imported in left.items() if module not in free}
    assert not left, f"in a circle, or above one: {sorted(left)}"


def imported_modules(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Modules that a file imports, also those that it imports by their name from a folder."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("qwenvl_kit"):
            folder = (node.module or "").removeprefix("qwenvl_kit").removeprefix(".")
            for alias in node.names:
                name = f"{folder}.{alias.name}".strip(".")
                yield name if name in known else folder


def test_no_module_has_more_lines_of_code_than_one_can_read() -> None:
    for module, path in modules():
        assert code_lines(path.read_text(encoding="utf-8")) <= MOST_CODE_LINES, module


def code_lines(text: str) -> int:
    """Lines with code: no blank lines, comments or docstrings."""
    lines: set[int] = set()
    strings: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            strings |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in (*skipped, tokenize.ENDMARKER):
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - strings)
