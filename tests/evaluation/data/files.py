"""Small files in the formats in which benchmarks are published."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import PIL.Image


def png(colour: str = "red", size: int = 32) -> bytes:
    """A picture of noise around a colour, so that it has more than 1,024 characters in base64."""
    image = PIL.Image.effect_noise((size, size), 64)
    content = io.BytesIO()
    PIL.Image.merge("RGB", (image, PIL.Image.new("L", image.size), image)).save(content, "PNG")
    assert len(content.getvalue()) > 1024, colour
    return content.getvalue()


def in_base64(content: bytes) -> str:
    """Bytes as VLMEvalKit writes them."""
    return base64.b64encode(content).decode()


def write_tsv(path: Path, rows: Sequence[Mapping[str, Any]], **options: Any) -> Path:
    """A TSV as VLMEvalKit writes it: all cells in quotes (smp/file.py, `dump_tsv`)."""
    given: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_ALL, "lineterminator": "\n"}
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), **{**given, **options})
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]], **options: Any) -> Path:
    """A Parquet file as a hub has it: pictures are `{"bytes", "path"}`."""
    import pyarrow
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path, **options)
    return path
