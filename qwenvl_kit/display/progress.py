"""Progress bars without a warning: in a notebook without ipywidgets they are lines of text."""

from __future__ import annotations

import warnings
from typing import Any


def progress_bar() -> Any:
    """Return the class of progress bars, `tqdm.auto.tqdm`.

    Its first import in a notebook without ipywidgets warns that they are missing, also where
    transformers or huggingface_hub imports it. Nobody needs them, so it is imported here first.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        from tqdm.auto import tqdm
    return tqdm
