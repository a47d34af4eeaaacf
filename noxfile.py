"""The developer's commands, and CI's.

`nox` runs what a change is likely to break, in minutes; `nox -s full` all that must pass; `nox -s
NAME` one of them.

uv makes the environments where it is installed (`pip install nox[uv]`); it links packages from
its cache instead of copying several gigabytes of torch.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "types", "tests", "docs"]
nox.options.reuse_existing_virtualenvs = True

PYPROJECT = nox.project.load_toml("pyproject.toml")
FULL = ("lint", "types", "tests", "docs", "long", "examples", "cookbook", "lowest", "newest")
"""The sessions of `full`."""

GUARDS = (
    *("tests/media/web", "tests/media/test_sources.py", "tests/media/test_video_trouble.py"),
    *(
        "tests/values",
        "tests/test_bad_input.py",
        "tests/prompts/test_template_input.py",
        "tests/house",
    ),
    *("tests/local/test_damaged_checkpoints.py", "tests/hostile", "tests/fuzzing"),
)
GUIDED = (
    *("places", "tool calls", "partial JSON", "thoughts", "message dicts", "JSON schemas", "URLs"),
    *("sources", "pictures", "documents", "journals", "calibrations", "training files"),
)
EARLY = ("huggingface-hub", "safetensors", "tokenizers", "torch", "torchvision", "transformers")
COMPILED = {"PYTHONDONTWRITEBYTECODE": None}
"""Modules are compiled once, also where the system forbids it: torch and transformers take a
process 13 seconds to compile, and 4 to import, and tests start many processes."""

OFFLINE = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", **COMPILED}
AT_ONCE = ("-n", "3", "--dist", "worksteal")
SHORT = ("-m", "not (long or slow or alone)")
SHARING = ("-m", "not alone")
ONE_THREAD = {**OFFLINE, "OMP_NUM_THREADS": "1"}
"""Three processes with a thread each: some wait for servers and decoders while others compute."""


def group(*names: str) -> list[str]:
    """The packages of dependency groups of pyproject.toml."""
    return nox.project.dependency_groups(PYPROJECT, *names)


def alone() -> list[str]:
    """The files of tests that must have the machine to themselves."""
    files = sorted(Path("tests").rglob("test_*.py"))
    return [str(file) for file in files if "pytest.mark.alone" in file.read_text()]


@nox.session
def lint(session: nox.Session) -> None:
    """Style, docstrings, likely mistakes, formatting."""
    session.install(*group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """The package by mypy, and ordinary calls by mypy and pyright, both strict."""
    session.install("-e", ".", *group("types"))
    session.run("mypy")
    session.run("pyright")


@nox.session
def tests(session: nox.Session) -> None:
    """The promises that a change is likely to break; those that are named, if any are."""
    session.install("-e", ".", *group("test"))
    if session.posargs:
        session.run("pytest", *session.posargs, env=OFFLINE)
    else:
        session.run("pytest", *AT_ONCE, *SHORT, env=ONE_THREAD)


@nox.session(default=False)
def long(session: nox.Session) -> None:
    """What `tests` leaves out: long promises, those about time, and guards without assertions."""
    session.install("-e", ".", *group("test"))
    session.run("pytest", *AT_ONCE, "-m", "(long or slow) and not alone", env=ONE_THREAD)
    session.run("pytest", "-m", "alone", *alone(), env=OFFLINE)
    guards = ("python", "-O", "-m", "pytest", "-q", *AT_ONCE, *SHARING, *GUARDS)
    session.run(*guards, env=ONE_THREAD)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, without a broken link or reference."""
    session.install("-e", ".", *group("docs"))
    # jieba unmarshals its cache from the temporary folder: not from one that others can write to.
    own = {"TMPDIR": str(Path(session.create_tmp()).resolve())}
    session.run("mkdocs", "build", "--strict", "--site-dir", "build/site", env=own)
    session.run("python", "-m", "tests.docs.search", "build/site")


@nox.session(default=False)
def examples(session: nox.Session) -> None:
    """Every example, as its reader would run it."""
    session.install("-e", ".[training]", *group("examples", "train"))
    for example in sorted(Path("examples").glob("*.py")):
        if example.stem == "screen_agent" and shutil.which("chromium") is None:
            session.warn(f"{example} is left out: there is no Chromium (apt-get install chromium)")
            continue
        small = ["--small"] if example.stem == "fine_tune" else []
        session.run("python", str(example), *small, env=OFFLINE)
    # The training program, in small: a few steps with the fonts of matplotlib alone.
    small = ["--folder", session.create_tmp(), "--pictures", "400", "--workers", "1"]
    program = ["python", "-m", "examples.embedded_model.train", *small]
    session.run(*program, "--no-compile", "--small-fonts", env=OFFLINE)


@nox.session(default=False)
def cookbook(session: nox.Session) -> None:
    """Every notebook of docs/cookbook anew, and the recipes of docs/guide/integrations.md.

    `-- NAME` runs some notebooks. Then look at what has changed: `git diff docs/cookbook`.
    """
    session.install("-e", ".[evaluation,pdf,training]", *group("cookbook"))
    chosen = session.posargs or ["--all"]
    session.run("python", "-m", "tests.docs.cookbook", *chosen, env=OFFLINE)
    if not session.posargs:
        session.install(*group("recipes"))
        session.run("python", "-m", "tests.docs.recipes", env=OFFLINE)


@nox.session(venv_backend="uv", default=False)
def lowest(session: nox.Session) -> None:
    """The lowest versions that pyproject.toml admits, but for what hardly depends on them."""
    session.install("--resolution", "lowest-direct", "-e", ".", *group("test"))
    chosen = session.posargs or (*AT_ONCE, "-m", "not alone and not slow")
    session.run("pytest", "-x", *chosen, env=ONE_THREAD)


@nox.session(venv_backend="uv", default=False)
def newest(session: nox.Session) -> None:
    """The short promises on pre-releases; what libraries will remove must not be called."""
    early = [f"--prerelease-package={name}=allow" for name in EARLY]
    session.install("--upgrade", *early, "-e", ".", *group("test"))
    chosen = session.posargs or (*AT_ONCE, *SHORT)
    session.run("pytest", "-p", "tests.deprecations", *chosen, env=ONE_THREAD)


@nox.session(venv_backend="none", default=False)
def full(session: nox.Session) -> None:
    """All that must pass before a change is done, or the sessions that are named, each timed."""
    told, failed = [], []
    for name in session.posargs or FULL:
        begun = time.monotonic()
        try:
            session.run(sys.executable, "-m", "nox", "-s", name)
        except CommandFailed:
            failed.append(name)
        outcome = "failed" if name in failed else "passed"
        told.append(f"{name:10} {outcome} {time.monotonic() - begun:7.0f} s")
    session.log("\n".join(["each part:", *told]))
    if failed:
        session.error(f"failed: {', '.join(failed)}")


@nox.session(venv_backend="uv", default=False)
def integration(session: nox.Session) -> None:
    """A build of vLLM for processors, in this process and as a server on loopback.

    What runs without vLLM, transformers' own server and Ray included, is part of `long`.

    `-- table` writes the table of docs/backends.md anew.
    """
    # The build for processors asks for a torch that no index has; this one runs it.
    override = Path(session.create_tmp()) / "override.txt"
    override.write_text("torch==2.13.0\n")
    session.install("--override", str(override), "-e", ".", *group("test", "integration"))
    table = ("-p", "tests.conformance.table", "--backends-table", "docs/backends.md")
    options = table if session.posargs == ["table"] else session.posargs
    session.run("pytest", "-q", "tests/conformance", *options, env=OFFLINE)
    session.notify("lmms")


@nox.session(default=False)
def lmms(session: nox.Session) -> None:
    """The kit as a model of lmms-eval, on a task of four pictures; `integration` runs it as well.

    lmms-eval brings 155 packages, so that it has an environment of its own.
    """
    # It asks for a PyAV with published flaws; nothing of it that is used here needs that one.
    override = Path(session.create_tmp()) / "override.txt"
    override.write_text("av>=18.0\n")
    session.install("--override", str(override), "-e", ".", *group("test", "lmms"))
    session.run("pytest", "-q", "tests/integrations/test_lmms_eval_toy.py", env=OFFLINE)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Speed, as ratios against what one would write without the kit.

    `-- SECTION` measures a section anew, `-- --continue` what was not measured today, `-- --list`
    tells how long each takes.
    """
    session.install("-e", ".", *group("test", "bench"))
    session.run("python", "-m", "tests.benchmarks", *session.posargs, env=OFFLINE)


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """A million inputs that nobody would send on purpose."""
    session.install("-e", ".", *group("test"))
    session.run("python", "-m", "tests.fuzzing", *session.posargs, env=OFFLINE)


@nox.session(default=False)
def guided(session: nox.Session) -> None:
    """The same targets, or those that are named, by a fuzzer that follows what inputs reach."""
    session.install("-e", ".", *group("test", "fuzz"))
    for target in session.posargs or GUIDED:
        options = ("-runs=100000", "-max_len=4000")
        session.run("python", "-m", "tests.fuzzing.guided", target, *options, env=OFFLINE)


@nox.session(default=False)
def soak(session: nox.Session) -> None:
    """Requests while things fail, models are replaced, rows are no numbers; and what leaks."""
    session.install("-e", ".", *group("test"))
    modes = [session.posargs] if session.posargs else [["load"], ["reload"], ["leak"], ["rows"]]
    for mode in modes:
        session.run("python", "-m", "tests.soak", *mode, env=OFFLINE)


@nox.session(default=False)
def families(session: nox.Session) -> None:
    """The table of what is proven for each model family."""
    session.install("-e", ".", *group("test"))
    session.run(
        *("pytest", "-q", "-p", "tests.capabilities", "--capabilities", "docs/families.md"),
        *("tests/families", "tests/local", "tests/checkpoints"),
        env=OFFLINE,
    )


@nox.session(default=False)
def card(session: nox.Session) -> None:
    """The table of the embedded model's card, measured anew."""
    session.install("-e", ".", *group("train"))
    session.run("python", "-m", "examples.embedded_model.evaluate", *session.posargs, env=OFFLINE)


if os.environ.get("CI"):
    nox.options.stop_on_first_error = True
