"""Writes a checkpoint as a folder that transformers loads offline.

python -m examples.embedded_model.export RUN/checkpoint.pt qwenvl_kit/embedded/model
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoProcessor,
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
)

from qwenvl_kit.checkpoints.settings import TRAINED_FOR

from .checkpoint import load_network
from .drawing.canvas import CELL, FRAME_CELLS, IMAGE_CELLS
from .network import CONTEXT
from .tokenizer import SPECIAL, build_tokenizer, special_ids

TEMPLATE = Path(__file__).with_name("chat_template.jinja")
LARGEST = 16_000_000
ABILITIES = ("attributes", "image tools", "markdown")
"""What it is taught beyond Qwen2-VL, so that the tasks that need it are not refused."""


def _budget(cells: tuple[int, int]) -> dict[str, int]:
    area = CELL * CELL
    return {"shortest_edge": cells[0] * area, "longest_edge": cells[1] * area}


def make_processor() -> Qwen2VLProcessor:
    """Tokenizer, picture and video processors with the sizes of the training."""
    eos, pad = "<|im_end|>", "<|endoftext|>"
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=build_tokenizer(),
        eos_token=eos,
        pad_token=pad,
        additional_special_tokens=[name for name in SPECIAL if name not in (eos, pad)],
        model_max_length=CONTEXT,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    shared = {"patch_size": 14, "merge_size": 2, "temporal_patch_size": 2}
    return Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=_budget(IMAGE_CELLS), **shared),
        video_processor=Qwen2VLVideoProcessor(
            size=_budget(FRAME_CELLS), cap_pixels_per_frame=False, **shared
        ),
        tokenizer=tokenizer,
        chat_template=TEMPLATE.read_text(encoding="utf-8"),
    )


def export(source: Path, folder: Path) -> None:
    """Writes weights in bf16, configurations, tokenizer, processors and template."""
    model: Any = load_network(source, torch.float32).model
    model.to(torch.bfloat16)
    ids = special_ids(build_tokenizer())
    model.generation_config = GenerationConfig(
        bos_token_id=ids["<|endoftext|>"],
        eos_token_id=[ids["<|im_end|>"], ids["<|endoftext|>"]],
        pad_token_id=ids["<|endoftext|>"],
        do_sample=False,
        max_new_tokens=128,
    )
    folder.mkdir(parents=True, exist_ok=True)
    setattr(model.config, TRAINED_FOR, list(ABILITIES))
    model.save_pretrained(folder)
    make_processor().save_pretrained(folder)
    size = (folder / "model.safetensors").stat().st_size
    if size > LARGEST:
        raise RuntimeError(f"the weights take {size} bytes, more than {LARGEST}")


def check(folder: Path) -> None:
    """Loads the folder as a user would."""
    AutoProcessor.from_pretrained(folder, local_files_only=True)
    Qwen2VLForConditionalGeneration.from_pretrained(folder, local_files_only=True)


def main() -> None:
    """Exports and loads what was exported."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    export(arguments.checkpoint, arguments.folder)
    check(arguments.folder)
    for path in sorted(arguments.folder.iterdir()):
        print(f"{path.stat().st_size:10d}  {path.name}")


if __name__ == "__main__":
    main()
