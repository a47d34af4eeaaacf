"""Runs the recipes of docs/guide/integrations.md: `python -m tests.docs.recipes`.

They need packages that neither the kit nor its tests bring, so that they are run by `nox -s
cookbook`. Each section is a program of its own.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import tempfile
import traceback
from pathlib import Path

from tests.docs.notebooks import ROOT

PAGE = ROOT / "docs" / "guide" / "integrations.md"
_RECIPE = re.compile(r"^## (?P<title>.+?)\n(?P<text>.*?)^```py3\n(?P<code>.*?)^```", re.M | re.S)


def recipes() -> dict[str, str]:
    """The code of each section that needs packages of its own, by the section's title."""
    return {found["title"]: found["code"] for found in _RECIPE.finditer(PAGE.read_text("utf-8"))}


def data_url(name: str) -> str:
    """A picture as a data URL."""
    return "data:image/png;base64," + base64.b64encode(Path(name).read_bytes()).decode()


def main() -> None:
    """Run all recipes, and tell which failed."""
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for picture in (ROOT / "examples" / "pictures").glob("*.png"):
            shutil.copyfile(picture, Path(folder, picture.name))
        os.chdir(folder)
        for title, code in recipes().items():
            print(f"== {title}", flush=True)
            try:
                exec(
                    compile(code, title, "exec", dont_inherit=True),
                    {"__name__": title, "data_url": data_url},
                )
            except Exception:
                traceback.print_exc()
                failed.append(title)
        os.chdir(ROOT)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
