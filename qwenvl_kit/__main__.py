"""The command line, `qwenvl` and `python -m qwenvl_kit`; see `qwenvl_kit.command_line`."""

from __future__ import annotations

import sys

from qwenvl_kit.command_line.program import main


def run() -> None:
    """Run the command that this process was given, and end with its exit code."""
    sys.exit(main())


if __name__ == "__main__":
    run()
