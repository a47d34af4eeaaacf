"""Look before you load, offline: `python examples/loading.py [FOLDER_OR_HUB_ID]`.

Says what a checkpoint is and what it takes, loads it, shows every decision with its reason, and
lets it test itself. Without an argument it does so for tiny random models of two families.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from qwenvl_kit import VisionChat, inspect
from qwenvl_kit.errors import ModelLoadError
from qwenvl_kit.testing import build_tiny_model

FAMILIES = ("qwen2_5_vl", "qwen3_5_moe")


def look_and_load(model: str | Path) -> None:
    """Everything that is to be known about one checkpoint."""
    found = inspect(model)
    print(found)
    if found.missing:
        print("It cannot be loaded as it is.")
        return
    with VisionChat.from_pretrained(model) as chat:
        print("\nLoaded:")
        for name, value in chat.report().items():
            print(f"  {name:<17} {value}")
        print("\nIts own test:")
        print(chat.self_test())


def main() -> None:
    """One checkpoint that was named, or tiny ones."""
    if len(sys.argv) > 1:
        look_and_load(sys.argv[1])
        return
    with tempfile.TemporaryDirectory() as folder:
        for family in FAMILIES:
            look_and_load(build_tiny_model(Path(folder) / family, family))
            print()


if __name__ == "__main__":
    try:
        main()
    except ModelLoadError as error:
        sys.exit(str(error))
