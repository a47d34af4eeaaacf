"""A training state that survives kill -9: written beside the old one, then renamed."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import Qwen2VLForConditionalGeneration

from .network import Network, Size, build, configuration
from .samples import HEADS
from .tokenizer import build_tokenizer, padded_size, special_ids


@dataclass
class State:
    """Where a run stands. Data needs no generator state: each step seeds its own."""

    step: int = 0
    seen: int = 0
    answered: int = 0
    start: float = 0.0
    end: float = 0.0
    restarts: int = 0


def new_network(size: Size, seed: int = 0, dtype: torch.dtype = torch.bfloat16) -> Network:
    """A network with initial weights."""
    tokenizer = build_tokenizer()
    config = configuration(size, padded_size(tokenizer), special_ids(tokenizer))
    return Network(build(config, seed), HEADS, dtype)


def save(
    path: Path,
    network: Network,
    optimizers: list[torch.optim.Optimizer],
    state: State,
    size: Size,
) -> None:
    """Writes the checkpoint; a reader sees the old one or the new one, never half of one."""
    content = {
        "network": network.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "state": asdict(state),
        "size": asdict(size),
    }
    partial = path.with_suffix(".partial")
    torch.save(content, partial)
    os.replace(partial, path)


def load(path: Path) -> dict[str, Any]:
    """The content of a checkpoint."""
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


def load_network(path: Path, dtype: torch.dtype = torch.bfloat16) -> Network:
    """The trained network of a checkpoint."""
    content = load(path)
    network = new_network(Size(**content["size"]), dtype=dtype)
    network.load_state_dict(content["network"])
    return network


def warm_start(network: Network, source: Path) -> None:
    """Begins with the weights of another run's checkpoint, or of an exported model's folder.

    Dense heads that it lacks begin anew and settle within minutes; an exported model has none. Its
    vocabulary may be another one: words of both keep what was learnt of them.
    """
    if source.is_dir():
        shipped = Qwen2VLForConditionalGeneration.from_pretrained(source, dtype=torch.float32)
        weights = shipped.state_dict()
        old = Tokenizer.from_file(str(source / "tokenizer.json")).get_vocab()
        words: Any = network.model.get_input_embeddings()
        rows = words.weight.detach().clone()
        for word, row in build_tokenizer().get_vocab().items():
            if word in old:
                rows[row] = shipped.get_input_embeddings().weight[old[word]]  # type: ignore[index]
        for name in [
            name for name in weights if name.endswith(("embed_tokens.weight", "lm_head.weight"))
        ]:
            weights[name] = rows
        network.model.load_state_dict(weights)
    else:
        network.load_state_dict(load(source)["network"], strict=False)
