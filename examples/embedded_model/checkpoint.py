"""A training state that survives kill -9: written beside the old one, then renamed."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import Qwen2VLForConditionalGeneration

from .network import SECTIONS, Network, Size, build, configuration
from .samples import HEADS
from .tokenizer import build_tokenizer, padded_size, special_ids


@dataclass
class State:
    """Where a run stands. Data needs no generator state: each step seeds its own.

    Attributes:
        step, seen, answered: steps, pictures and answers so far.
        begin: share of the schedule that was behind it when it began.
        pictures: it ends when it has seen so many.
        restarts: how often it was resumed.
    """

    step: int = 0
    seen: int = 0
    answered: int = 0
    begin: float = 0.0
    pictures: int = 1
    restarts: int = 0

    @property
    def progress(self) -> float:
        """Share of the schedule, 0 to 1."""
        return self.begin + (1 - self.begin) * min(self.seen / self.pictures, 1.0)


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
        "former": None if network.former is None else network.former.cpu(),
    }
    partial = path.with_suffix(".partial")
    torch.save(content, partial)
    os.replace(partial, path)


def load(path: Path) -> dict[str, Any]:
    """The content of a checkpoint."""
    content: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    return content


def load_network(path: Path, dtype: torch.dtype = torch.bfloat16) -> Network:
    """The trained network of a checkpoint."""
    content = load(path)
    network = new_network(Size(**content["size"]), dtype=dtype)
    network.load_state_dict(content["network"])
    return network


def warm_start(network: Network, source: Path) -> None:
    """Begins with the weights of an exported model's folder, or of another run's checkpoint.

    A folder has no dense heads: they begin anew and settle within minutes. Its vocabulary may be
    another one, whose words keep what was learnt of them. It may have fewer layers: further ones
    begin as if they were not there. And its heads may turn with other frequencies (see `_turned`),
    which `network.former` then has.
    """
    if not source.is_dir():
        network.load_state_dict(load(source)["network"], strict=False)
        return
    shipped = Qwen2VLForConditionalGeneration.from_pretrained(source, dtype=torch.float32)
    weights = network.model.state_dict()
    for name, value in shipped.state_dict().items():
        if name in weights and weights[name].shape == value.shape:
            weights[name] = value
    rows = _rows(network, shipped, source)
    for name in weights:
        if name.endswith(("embed_tokens.weight", "lm_head.weight")):
            weights[name] = rows
        elif name not in shipped.state_dict() and name.endswith(LAST):
            weights[name] = torch.zeros_like(weights[name])
    config: Any = shipped.config
    old = config.text_config.rope_parameters
    if tuple(old["mrope_section"]) != SECTIONS:
        weights, network.former = _turned(weights, old["rope_theta"], old["mrope_section"])
    network.model.load_state_dict(weights)


LAST = (
    "o_proj.weight", "down_proj.weight", "attn.proj.weight", "attn.proj.bias", "fc2.weight",
    "fc2.bias",
)  # fmt: skip
"""What a layer adds to its input: with zeros here it is as if it was not there."""


def _rows(network: Network, shipped: Any, source: Path) -> Any:
    """The embedding: what the words of both vocabularies were, new ones as they begin.

    A Chinese character begins as itself alone; a coordinate in a list or a comment as that between
    special tokens.
    """
    old = Tokenizer.from_file(str(source / "tokenizer.json")).get_vocab()
    words: Any = network.model.get_input_embeddings()
    rows = words.weight.detach().clone()
    known = shipped.get_input_embeddings().weight.detach()
    # As long as the rows that were learnt.
    rows *= known[: len(old)].norm(dim=1).median() / rows.norm(dim=1, keepdim=True)
    vocabulary = build_tokenizer().get_vocab()
    if known.shape == rows.shape:
        rows[len(vocabulary) :] = known[len(vocabulary) :]
    for word, row in vocabulary.items():
        number = re.fullmatch(r"([\[(]|,Ġ)(\d+)", word)
        like = word
        if number and word not in old:
            like = f"({number[2]}," if number[1] != ",Ġ" else f"{number[2]})"
        if like in old:
            rows[row] = known[old[like]] * (1.0 if like == word else 0.7)
            if like != word:
                rows[row] += 0.3 * words.weight.detach()[row]
    return rows


def _turned(
    weights: dict[str, Any], theta: float, sections: Sequence[int]
) -> tuple[dict[str, Any], torch.Tensor]:
    """The same attention with its pairs of dimensions in the order of the new frequencies.

    Pairs that turned with time, rows and columns go where those are now, as many as there is room
    for; what is left over turns slowest, with columns. The frequencies that they had come with
    them, so that a run can move from these to the new ones little by little.
    """
    half = sum(sections)
    ends = [sum(sections[:axis]) for axis in range(4)]
    old = [list(range(ends[axis], ends[axis + 1])) for axis in range(3)]
    kept = [pairs[:count] for pairs, count in zip(old, SECTIONS, strict=True)]
    left = [pair for pairs, count in zip(old, SECTIONS, strict=True) for pair in pairs[count:]]
    order = [pair for pairs in kept for pair in pairs] + left
    index = torch.tensor([*order, *(pair + half for pair in order)])
    for name, value in weights.items():
        if re.search(r"language_model.*self_attn\.[qk]_proj", name):
            heads = value.reshape(-1, 2 * half, *value.shape[1:])
            weights[name] = heads[:, index].reshape(value.shape)
    frequencies = theta ** (-torch.arange(half) / half)
    return weights, frequencies[torch.tensor(order)]
