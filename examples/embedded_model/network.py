"""The model: a small configuration of the real Qwen2-VL, and a fast batched forward of it.

transformers' own forward packs images of any size into one ragged sequence, which a CPU runs
slowly. Training uses one grid per batch, so the same weights can run on dense tensors in bf16,
where recent Xeons multiply matrices some ten times faster than in fp32. `logit_difference` in
`checks.py` proves that both give the same logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - its name everywhere
from torch import Tensor, nn
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration
from transformers.vision_utils import get_vision_position_ids

PATCH = 14
MERGE = 2
CELL = PATCH * MERGE
TEMPORAL_PATCH = 2
# Rotary base, and how many of a head's 32 frequencies turn with time, rows and columns. See
# `configuration`.
THETA = 500.0
SECTIONS = (4, 8, 20)
CONTEXT = 4096
# The layer, before the last, whose first heads are taught to look at what a box is asked of.
PLACING_LAYER = 2
# The layer whose heads are taught to look at the names of two things that are compared.
COMPARING_LAYER = 3


@dataclass(frozen=True)
class Size:
    """Widths and depths of the two transformers."""

    vision_width: int = 192
    vision_depth: int = 4
    vision_heads: int = 3
    width: int = 256
    depth: int = 5
    feed_forward: int = 768
    heads: int = 4
    key_value_heads: int = 2


def configuration(size: Size, vocabulary: int, special: dict[str, int]) -> Qwen2VLConfig:
    """The Qwen2-VL configuration for `size`.

    The rotary base is 500 and columns get most of the frequencies, from 0.1 to 0.0024 rad a token.
    At a million, the usual base, columns turn by 1e-4 rad and left cannot be told from right. At
    10, which earlier weights had, nothing turns by less than 0.1 rad: what stands 30 tokens back is
    found only by chance, and long answers went wrong towards their ends.
    """
    text = {
        "vocab_size": vocabulary,
        "hidden_size": size.width,
        "intermediate_size": size.feed_forward,
        "num_hidden_layers": size.depth,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.key_value_heads,
        "max_position_embeddings": CONTEXT,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": THETA,
            "mrope_section": list(SECTIONS),
        },
        "bos_token_id": special["<|endoftext|>"],
        "eos_token_id": special["<|im_end|>"],
        "pad_token_id": special["<|endoftext|>"],
    }
    vision = {
        "depth": size.vision_depth,
        "embed_dim": size.vision_width,
        "hidden_size": size.width,
        "num_heads": size.vision_heads,
        "mlp_ratio": 4,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": TEMPORAL_PATCH,
    }
    return Qwen2VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=special["<|image_pad|>"],
        video_token_id=special["<|video_pad|>"],
        vision_start_token_id=special["<|vision_start|>"],
        vision_end_token_id=special["<|vision_end|>"],
        tie_word_embeddings=True,
    )


def build(config: Any, seed: int = 0) -> Qwen2VLForConditionalGeneration:
    """A model with initial weights scaled by fan-in, residual outputs smaller with depth."""
    torch.manual_seed(seed)
    model = Qwen2VLForConditionalGeneration(config)
    text_scale = (2 * config.text_config.num_hidden_layers) ** -0.5
    vision_scale = (2 * config.vision_config.depth) ** -0.5
    for name, weight in model.named_parameters():
        if weight.ndim < 2:
            continue
        deviation = weight[0].numel() ** -0.5
        if "embed_tokens" in name:
            deviation = 0.04
        elif name.endswith(("o_proj.weight", "down_proj.weight")):
            deviation *= text_scale
        elif name.endswith(("attn.proj.weight", "fc2.weight")):
            deviation *= vision_scale
        nn.init.normal_(weight, 0.0, deviation)
    return model


class Rotation(NamedTuple):
    """Cosines and sines of the rotary position embedding."""

    cos: Tensor
    sin: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Turns queries or keys."""
        first, second = x.chunk(2, -1)
        return x * self.cos + torch.cat((-second, first), -1) * self.sin

    def scaled(self) -> Rotation:
        """The rotation of queries, with attention's 1 / sqrt(width) folded in."""
        factor = self.cos.shape[-1] ** -0.5
        return Rotation(self.cos * factor, self.sin * factor)


@dataclass
class Looking:
    """N positions that write coordinates, and what the placing layer does there once it has run.

    `where` [B, V] says where the visual tokens of each row stand; `seen` [N, heads, V] is how much
    the positions attend to them, `shown` [B, V, width] what these hold by then, and `told`
    [N, width] what the positions hold once they have looked.
    """

    rows: Tensor
    positions: Tensor
    where: Tensor
    seen: Tensor | None = None
    shown: Tensor | None = None
    told: Tensor | None = None


@dataclass
class Comparing:
    """N positions where answers begin, and what the comparing layer attends to: [N, heads, L]."""

    rows: Tensor
    positions: Tensor
    seen: Tensor | None = None


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
    """Attention of scaled queries; on a CPU its backward is faster than the fused kernel's."""
    scores = torch.matmul(query, key.transpose(-1, -2))
    if bias is not None:
        scores = scores + bias
    return torch.matmul(scores.softmax(-1), value)


# The vision tower's activation is x * sigmoid(1.702 x) = silu(1.702 x) / 1.702: the factor is
# folded into the weights around it, which are far smaller than the activations.
QUICK_GELU = 1.702


class Network(nn.Module):
    """The transformers model plus the dense heads that only training uses."""

    def __init__(
        self,
        model: Qwen2VLForConditionalGeneration,
        heads: dict[str, int],
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        super().__init__()
        self.model = model
        self.dtype = dtype
        config: Any = model.config
        self.vision_heads: int = config.vision_config.num_heads
        self.heads: int = config.text_config.num_attention_heads
        self.key_value_heads: int = config.text_config.num_key_value_heads
        self.epsilon: float = config.text_config.rms_norm_eps
        width: int = config.text_config.hidden_size
        self.dense = nn.ModuleDict({name: nn.Linear(width, n) for name, n in heads.items()})
        self.rotations: dict[tuple[int, int], Rotation] = {}
        self.former: Tensor | None = None
        self.former_share = 0.0
        axes = [axis for axis, count in enumerate(SECTIONS) for _ in range(count)]
        self.axes = torch.tensor(axes)

    def move(self, device: str) -> None:
        """Moves it to a device, with what is no weight."""
        self.to(device)
        self.axes = self.axes.to(device)
        if self.former is not None:
            self.former = self.former.to(device)
        self.rotations.clear()

    def compile_blocks(self) -> None:
        """Fuses the element-wise work of every block: 1.5 times the speed, for a minute's wait.

        Shapes are dynamic, so that the many grids share a few compiled versions.
        """
        self.vision_block = torch.compile(self.vision_block, dynamic=True)  # type: ignore
        self.text_block = torch.compile(self.text_block, dynamic=True)  # type: ignore

    def linear(
        self, layer: Any, x: Tensor, weight_scale: float = 1.0, bias_scale: float = 1.0
    ) -> Tensor:
        """`layer` applied in the working precision; its master weight stays fp32."""
        weight: Tensor = layer.weight.to(self.dtype)
        bias: Tensor | None = layer.bias
        if bias is not None:
            bias = bias.to(self.dtype) * bias_scale if bias_scale != 1.0 else bias.to(self.dtype)
        if weight_scale != 1.0:
            weight = weight * weight_scale
        return F.linear(x, weight, bias)

    def norm(self, layer: nn.Module, x: Tensor) -> Tensor:
        """Layer norm or, without a bias, root-mean-square norm."""
        weight, bias = layer.weight, getattr(layer, "bias", None)
        assert isinstance(weight, Tensor)
        if isinstance(bias, Tensor):
            return F.layer_norm(x, x.shape[-1:], weight.to(self.dtype), bias.to(self.dtype), 1e-6)
        return F.rms_norm(x, x.shape[-1:], weight.to(self.dtype), self.epsilon)

    def vision_rotation(self, rows: int, columns: int) -> Rotation:
        """Rotary table of one grid of `rows` x `columns` cells."""
        if (rows, columns) not in self.rotations:
            grid = torch.tensor([[1, rows * MERGE, columns * MERGE]])
            positions = get_vision_position_ids(grid, MERGE)
            positions = positions.to(self.axes.device)
            cos, sin = self.model.model.visual.rotary_pos_emb(torch.zeros(1), positions)
            self.rotations[rows, columns] = Rotation(cos.to(self.dtype), sin.to(self.dtype))
        return self.rotations[rows, columns]

    def see(self, patches: Tensor, rows: int, columns: int) -> Tensor:
        """Patches [N, 4 * cells, values] to visual tokens [N, cells, width].

        A still picture arrives as one frame (588 values a patch). The processor repeats it in
        time, so summing the two temporal halves of the kernel gives the same product.
        """
        visual: Any = self.model.model.visual
        kernel: Tensor = visual.patch_embed.proj.weight
        still = patches.shape[-1] == 3 * PATCH * PATCH
        flat = (kernel.sum(2) if still else kernel).reshape(kernel.shape[0], -1)
        x = F.linear(patches.to(self.dtype), flat.to(self.dtype))
        rotation = self.vision_rotation(rows, columns)
        for block in visual.blocks:
            x = self.vision_block(block, x, rotation)
        x = self.norm(visual.merger.ln_q, x)
        x = x.reshape(x.shape[0], rows * columns, -1)
        x = F.gelu(self.linear(visual.merger.mlp[0], x))
        return self.linear(visual.merger.mlp[2], x)

    def vision_block(self, block: Any, x: Tensor, rotation: Rotation) -> Tensor:
        """One block of the vision tower."""
        count, length, width = x.shape
        head = width // self.vision_heads
        mixed = self.linear(block.attn.qkv, self.norm(block.norm1, x))
        split = mixed.view(count, length, 3, self.vision_heads, head).permute(2, 0, 3, 1, 4)
        seen = attend(rotation.scaled()(split[0]), rotation(split[1]), split[2])
        x = x + self.linear(block.attn.proj, seen.transpose(1, 2).reshape(count, length, width))
        hidden = self.linear(block.mlp.fc1, self.norm(block.norm2, x), QUICK_GELU, QUICK_GELU)
        return x + self.linear(block.mlp.fc2, F.silu(hidden), 1 / QUICK_GELU)

    def text_rotation(self, positions: Tensor) -> Rotation:
        """Rotary table of positions [3, B, L]; right after a warm start still near the former one.

        `former` are the frequencies that the weights knew, `former_share` how much of their
        logarithm counts.
        """
        frequencies: Tensor = self.model.model.language_model.rotary_emb.inv_freq.float()
        if self.former is not None and self.former_share > 0:
            known = (self.former / frequencies).log() * self.former_share
            frequencies = frequencies * known.exp()
        angles = positions[self.axes].permute(1, 2, 0).float() * frequencies
        angles = torch.cat((angles, angles), -1).unsqueeze(1)
        return Rotation(angles.cos().to(self.dtype), angles.sin().to(self.dtype))

    def read(
        self,
        embedded: Tensor,
        positions: Tensor,
        bias: Tensor,
        looking: Looking | None = None,
        comparing: Comparing | None = None,
    ) -> Tensor:
        """The language model over embeddings [B, L, width]; positions are [3, B, L].

        `looking` and `comparing` are told what the layers attend to that they are about.
        """
        language: Any = self.model.model.language_model
        rotation = self.text_rotation(positions)
        x = embedded
        for index, layer in enumerate(language.layers):
            if looking is not None and index == PLACING_LAYER:
                seen = self.attention(layer, x, rotation, bias, looking)
                index_of = looking.where[looking.rows].unsqueeze(1).expand(-1, seen.shape[1], -1)
                looking.seen = seen.gather(2, index_of)
                rows = torch.arange(x.shape[0]).unsqueeze(1)
                looking.shown = self.norm(layer.input_layernorm, x[rows, looking.where])
            if comparing is not None and index == COMPARING_LAYER:
                comparing.seen = self.attention(layer, x, rotation, bias, comparing)
            x = self.text_block(layer, x, rotation, bias)
            if looking is not None and index == PLACING_LAYER:
                after = language.layers[index + 1].input_layernorm
                looking.told = self.norm(after, x[looking.rows, looking.positions])
        return self.norm(language.norm, x)

    def attention(
        self,
        layer: Any,
        x: Tensor,
        rotation: Rotation,
        bias: Tensor,
        asked_from: Looking | Comparing,
    ) -> Tensor:
        """What `layer` attends to from some positions: [N, heads, L].

        While it looks, of the heads of the first key alone.
        """
        rows, positions = asked_from.rows, asked_from.positions
        keys = 1 if isinstance(asked_from, Looking) else self.key_value_heads
        groups = self.heads // self.key_value_heads
        normed, attention = self.norm(layer.input_layernorm, x), layer.self_attn
        head = x.shape[-1] // self.heads
        key = self.linear(attention.k_proj, normed)[..., : keys * head]
        key = rotation(key.view(*key.shape[:2], keys, head).transpose(1, 2))[rows]
        asked = self.linear(attention.q_proj, normed[rows, positions])
        query = asked[:, : keys * groups * head].view(-1, keys, groups, head)
        cos, sin = (table[rows, 0, positions].view(-1, 1, 1, head) for table in rotation.scaled())
        query = Rotation(cos, sin)(query)
        hidden = bias[rows, :, positions].float().unsqueeze(1)
        return ((query @ key.transpose(2, 3)).float() + hidden).softmax(-1).flatten(1, 2)

    def text_block(self, layer: Any, x: Tensor, rotation: Rotation, bias: Tensor) -> Tensor:
        """One layer of the language model."""
        count, length, width = x.shape
        head = width // self.heads
        normed = self.norm(layer.input_layernorm, x)
        attention = layer.self_attn
        parts = [
            self.linear(projection, normed).view(count, length, -1, head).transpose(1, 2)
            for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
        ]
        groups = self.heads // self.key_value_heads
        query = rotation.scaled()(parts[0])
        key = rotation(parts[1]).repeat_interleave(groups, 1)
        seen = attend(query, key, parts[2].repeat_interleave(groups, 1), bias)
        x = x + self.linear(attention.o_proj, seen.transpose(1, 2).reshape(count, length, width))
        normed = self.norm(layer.post_attention_layernorm, x)
        gate = F.silu(self.linear(layer.mlp.gate_proj, normed))
        return x + self.linear(layer.mlp.down_proj, gate * self.linear(layer.mlp.up_proj, normed))

    def hidden(
        self,
        ids: Tensor,
        visual: Tensor,
        where: Tensor,
        positions: Tensor,
        bias: Tensor,
        *,
        looking: Looking | None = None,
        comparing: Comparing | None = None,
    ) -> Tensor:
        """Last hidden states; row b's visual tokens `visual[b]` stand at `where[b]`."""
        table: Tensor = self.model.model.language_model.embed_tokens.weight
        embedded = F.embedding(ids, table).to(self.dtype)
        rows = torch.arange(ids.shape[0]).unsqueeze(1)
        embedded = embedded.index_put((rows, where), visual)
        return self.read(embedded, positions, bias, looking, comparing)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores over the vocabulary, in fp32; the embedding is tied."""
        table: Tensor = self.model.model.language_model.embed_tokens.weight
        return F.linear(hidden, table.to(self.dtype)).float()


def branch_bias(segments: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive attention mask [B, 1, L, L] of a picture shared by independent questions.

    Segment 0 is the shared prefix; segment k > 0 sees the prefix and itself; -1 is padding, which
    sees only itself so that no row of the softmax is empty.
    """
    length = segments.shape[1]
    same = segments[:, :, None] == segments[:, None, :]
    shared = segments[:, None, :] == 0
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    visible = (same | shared) & causal & (segments[:, None, :] >= 0)
    visible = visible | torch.eye(length, dtype=torch.bool)
    blank = torch.zeros(visible.shape, dtype=dtype)
    return blank.masked_fill_(~visible, float("-inf")).unsqueeze(1)
