"""Each room imports only the rooms below it. The arrows are read from the code itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import qwenvl_kit

PACKAGE = Path(qwenvl_kit.__file__).parent

ROOMS: dict[str, tuple[str, ...]] = {
    "errors": ("errors", "raising", "showing"),
    "arguments": ("arguments",),
    "values": (
        "constraints",
        "document_pages",
        "document_parts",
        "geometry",
        "messages",
        "options",
        "order",
        "plans",
        "results",
        "tables",
        "thinking",
        "thinking_parts",
        "tool_parts",
        "video_timing",
    ),
    "families": ("families",),
    "machine": ("machine",),
    "interpreter": ("docstrings",),
    "checkpoints": ("checkpoints",),
    "budget": ("budget",),
    "media": ("media",),
    "rendering": ("rendering", "tool_rendering"),
    "processing": ("processing",),
    "tools": ("tools",),
    "dialects": (
        "dialects",
        "formats",
        "named_files",
        "remarks",
        "requests",
        "tool_dialects",
        "written_places",
    ),
    "journal": ("journal", "records"),
    "embedded": ("embedded",),
    "backend protocol": (
        "backends",
        "backends.base",
        "backends.clocks",
        "backends.closed",
        "backends.growing",
        "backends.repetition",
        "backends.stops",
    ),
    "local backend": ("backends.local",),
    "server backend": ("backends.server",),
    "vLLM backend": ("backends.vllm",),
    "scripted backend": ("backends.scripted",),
    "calibration": ("calibration",),
    "listening": ("telemetry.listening",),
    "telemetry": ("telemetry",),
    "chat": (
        "agreement",
        "asking",
        "batch",
        "chat",
        "closing",
        "collecting",
        "conversation",
        "desk",
        "health",
        "notes",
        "opening",
        "pending",
        "pipeline",
        "selftest",
        "staying",
        "streaming",
        "talking",
        "tool_runs",
        "totals",
        "watching",
    ),
    "places": ("places",),
    "structure": ("structure",),
    "tasks": ("tasks",),
    "distributed": ("distributed",),
    "integrations": ("integrations",),
    "testing": ("testing",),
    "diagnosis": ("diagnosis",),
    "command line": ("__main__",),
    "front door": ("",),
}
"""Which modules make up a room; a module belongs to the room with its longest prefix."""

BELOW_BACKENDS = {"errors", "values", "families", "budget", "media", "rendering"}

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "arguments": {"errors"},
    "values": {"errors", "arguments"},
    "families": {"errors", "values"},
    "machine": set(),
    "interpreter": set(),
    "checkpoints": {"errors", "families", "machine"},
    "budget": {"errors", "values", "families"},
    "media": {"errors", "arguments", "values", "machine", "budget"},
    "rendering": {"errors", "values", "families"},
    "processing": {"errors", "values", "families", "interpreter"}
    | {"budget", "rendering", "checkpoints"},
    "tools": {"errors", "values", "rendering", "structure"},
    "dialects": {"errors", "arguments", "values", "media", "tools"},
    "journal": {"errors"},
    "embedded": set(),
    "backend protocol": BELOW_BACKENDS,
    "local backend": BELOW_BACKENDS | {"backend protocol", "checkpoints", "machine", "processing"},
    "server backend": BELOW_BACKENDS | {"backend protocol", "checkpoints", "processing"},
    "vLLM backend": BELOW_BACKENDS | {"backend protocol", "checkpoints", "processing"},
    "scripted backend": BELOW_BACKENDS | {"backend protocol"},
    "calibration": {"errors", "values", "places"},
    "chat": BELOW_BACKENDS
    | {"arguments", "calibration", "listening", "tools"}
    | {"dialects", "journal", "embedded", "backend protocol", "checkpoints", "diagnosis"},
    "listening": {"values"},
    "telemetry": {"errors", "values", "listening", "chat"},
    "places": {"errors", "values", "families", "media"},
    "structure": {"errors", "values"},
    "tasks": {
        "errors",
        "arguments",
        "values",
        "media",
        "dialects",
        "journal",
        "chat",
        "places",
        "structure",
    },
    "distributed": {"errors", "values", "dialects", "chat"},
    "integrations": {"values", "budget", "media"},
    "testing": {"errors", "families", "interpreter"},
    "diagnosis": {"errors", "families", "machine"},
    "command line": {"errors", "checkpoints", "diagnosis"},
    "front door": {"errors", "values", "media", "dialects", "chat", "checkpoints", "diagnosis"},
}
"""The table of docs/design.md; a room may always import itself."""

LOADED_ON_DEMAND = {("backends", f"backends.{name}") for name in ("local", "server", "vllm")}
"""The factories that reach upwards, when they are called."""


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


@pytest.mark.parametrize("room", ["budget", "checkpoints", "media", "families", "rendering"])
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


def test_no_module_is_longer_than_400_lines() -> None:
    for module, path in modules():
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, module
