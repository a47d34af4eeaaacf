"""Fuzzes one target by coverage: `python -m tests.fuzzing.guided TARGET [libFuzzer's options]`.

Atheris notes which lines an input reaches, and changes those further that reach new ones. It begins
with the same inputs as the random program, and ends at the first finding.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["qwenvl_kit"]):
    from tests.fuzzing.outcomes import TARGETS, outcome


def main() -> None:
    """Run until libFuzzer has had enough, or until there is a finding."""
    name, *options = sys.argv[1:]
    target = TARGETS[name]
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(target.seeds):
            (Path(folder) / str(number)).write_bytes(seed)
        atheris.Setup([sys.argv[0], *options, folder], lambda content: outcome(target, content))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
