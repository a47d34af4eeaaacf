"""Random adapters of a model, saved by peft, with what they were trained with beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from qwenvl_kit import PixelBudget
from qwenvl_kit.checkpoints.settings import read_settings
from qwenvl_kit.checkpoints.sources import find_checkpoint
from qwenvl_kit.checkpoints.trained_with import TrainedWith
from qwenvl_kit.processing.processor_config import load_published
from qwenvl_kit.training.outcome.conditions import trained_with

LANGUAGE = r".*language_model.*\.(q_proj|v_proj|down_proj|in_proj_qkv)"
ALL_PARTS = LANGUAGE + r"|.*visual.*\.(qkv|fc1|linear_fc1|up_proj)"
EXPERTS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]


def random_adapter(base: Path, folder: Path, **settings: Any) -> Path:
    """An adapter with random weights, as peft saves it; settings are those of `LoraConfig`."""
    import peft
    import torch
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(base)
    config = peft.LoraConfig(**{"r": 4, "target_modules": ALL_PARTS, **settings})
    wrapped = peft.get_peft_model(model, config)
    torch.manual_seed(0)
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name or "lora_embedding_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
        elif "modules_to_save" in name:
            parameter.data += 0.1 * torch.randn_like(parameter)
    wrapped.save_pretrained(folder)
    return folder


def record_of(base: Path, budget: PixelBudget, **changes: Any) -> TrainedWith:
    """The record of a training on a model; changes are of its identity."""
    published = load_published(find_checkpoint(base), read_settings(base))
    record = trained_with(published, budget, method="lora", data="ab12", dtype="float32")
    return replace(record, base=replace(record.base, **changes))
