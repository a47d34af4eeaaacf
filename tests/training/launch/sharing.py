"""A program for two processes: two steps with the weights shared as a file for accelerate says.

accelerate shares weights on accelerators only; here its own function does so on processors.
"""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed
import transformers
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import FullyShardedDataParallelPlugin
from accelerate.utils.fsdp_utils import fsdp2_prepare_model
from accelerate.utils.launch import prepare_multi_gpu_env
from peft import LoraConfig, get_peft_model
from PIL import Image

from qwenvl_kit import ImagePart, MediaPolicy, Message
from qwenvl_kit.embedded import MODEL_FOLDER
from qwenvl_kit.training import Example
from qwenvl_kit.training.sequences.encoder import SequenceEncoder


def launched(file: str) -> dict[str, str]:
    """The variables that `accelerate launch --config_file` sets for its processes."""
    given = ["--config_file", file, "--num_processes", "2", "train.py"]
    arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args(given))
    found: dict[str, str] = prepare_multi_gpu_env(arguments)
    return {name: found[name] for name in found if name.startswith("FSDP_")}


def batches() -> list[dict[str, torch.Tensor]]:
    """One with a picture and one without."""
    encoder = SequenceEncoder.of(MODEL_FOLDER, policy=MediaPolicy())
    picture = ImagePart(Image.new("RGB", (84, 56), (30, 9, 200)))
    examples = [
        Example([Message.user(picture, "What?"), Message.assistant("thing")]),
        Example([Message.user("Who?"), Message.assistant("nobody")]),
    ]
    made = []
    for example in examples:
        (sequence,) = encoder.encode(example)
        inputs: dict[str, Any] = dict(encoder.inputs(sequence))
        for name in ("input_ids", "labels"):
            inputs[name] = inputs[name][None]
        inputs["position_ids"] = inputs["position_ids"][:, None]
        made.append(inputs)
    return made


def network() -> Any:
    model = transformers.AutoModelForImageTextToText.from_pretrained(
        MODEL_FOLDER, dtype=torch.float32
    )
    torch.manual_seed(0)
    names = r".*language_model.*_proj"
    return get_peft_model(model, LoraConfig(r=4, target_modules=names, init_lora_weights=False))


def shared(model: Any) -> Any:
    accelerator = SimpleNamespace(
        state=SimpleNamespace(fsdp_plugin=FullyShardedDataParallelPlugin()),
        mixed_precision="no",
        is_main_process=torch.distributed.get_rank() == 0,
        device=torch.device("cpu"),
        torch_device_mesh=None,
    )
    return fsdp2_prepare_model(accelerator, model)


def main() -> None:
    os.environ.update(launched(sys.argv[1]))
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    alone, together = network(), shared(network())
    for step in range(2):
        mine = batches()[(rank + step) % 2]
        with torch.no_grad():
            expected = alone(**mine).loss
        loss = together(**mine).loss
        loss.backward()
        torch.testing.assert_close(loss, expected, atol=1e-4, rtol=0)
    gradients = [p.grad.full_tensor() for p in together.parameters() if p.grad is not None]
    for inputs in batches():  # each was seen twice, once by each process
        alone(**inputs).loss.backward()
    expected_gradients = [p.grad for p in alone.parameters() if p.grad is not None]
    for gradient, expected in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, expected, atol=1e-4, rtol=0)
    print(f"process {rank} learns as one process")


if __name__ == "__main__":
    main()
