"""The first answer of a process that has imported nothing yet."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from qwenvl_kit.embedded import MODEL_FOLDER
from tests.benchmarks.measuring import Case, Run, at_once, case_table, timed
from tests.benchmarks.sections.answers import shape

BY_KIT = """
import sys
from qwenvl_kit import Sampling, VisionChat
chat = VisionChat.from_pretrained(dtype="float32", device="cpu")
print(chat.ask("Describe this image.", sys.argv[1], sampling=Sampling(max_new_tokens=24)))
"""

BY_HAND = """
import sys
import torch
from PIL import Image
from transformers import AutoProcessor, Qwen2VLForConditionalGeneration
folder = sys.argv[2]
model = Qwen2VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
processor = AutoProcessor.from_pretrained(folder)
content = [{"type": "image"}, {"type": "text", "text": "Describe this image."}]
said = [{"role": "user", "content": content}]
text = processor.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
inputs = processor(text=[text], images=[Image.open(sys.argv[1])], return_tensors="pt")
with torch.inference_mode():
    ids = model.generate(**inputs, max_new_tokens=24, do_sample=False)
print(processor.batch_decode(ids[:, inputs.input_ids.shape[1]:], skip_special_tokens=True)[0])
"""

IMPORTS = """
import torch
from transformers import Qwen2VLForConditionalGeneration
"""


def section() -> list[str]:
    """Whole processes, from their start to their end."""
    return [
        "Each run is a process of its own, from its start to its end, with the embedded model and "
        "a small picture; files are in the system's cache, since a round before is not counted. "
        "The kit imports, loads, and answers. Beside it stands the same by transformers, and the "
        "imports that this needs, alone: no library can answer before they are done.",
        "",
        *case_table(_cases(), at_once),
    ]


def _cases() -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        shape(0).save(path)
        yield Case(
            "cold process to the first answer",
            lambda: _run(BY_KIT, path),
            {
                "the same by transformers": lambda: _run(BY_HAND, path, MODEL_FOLDER),
                "`import torch; from transformers import Qwen2VLForConditionalGeneration`": (
                    lambda: _run(IMPORTS)
                ),
            },
        )


def _run(code: str, *arguments: Path) -> Run:
    """A process of its own; one that says nothing has no answer."""

    def act() -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
        return [done.stdout] if done.stdout else []

    return timed(act)
