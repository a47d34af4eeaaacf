"""Exports of tiny models: the files, names, inputs and outputs of optimum-intel 2.2.

optimum-intel needs an older transformers than the kit. So OpenVINO's own converter makes the
graphs here, of wrappers that take what optimum-intel's take
(optimum/exporters/openvino/model_patcher.py and stateful.py).
"""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.nn.functional import scaled_dot_product_attention
from transformers import DynamicCache

from qwenvl_kit.backends.local.keywords import names_of
from qwenvl_kit.families import family_of

Axes = tuple[int | None, ...]


def export_model(checkpoint: Path, folder: Path, family: str, dtype: str = "fp32") -> Path:
    """Export a checkpoint as optimum-intel does, and return the folder.

    Args:
        checkpoint: its folder.
        folder: the folder to write.
        family: its family.
        dtype: the type of the weights in the files: "fp32" or "fp16".
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file in checkpoint.iterdir():
        if file.suffix not in (".safetensors", ".md"):
            shutil.copy(file, folder)
    kind = getattr(transformers, family_of(family).model_class)
    model = kind.from_pretrained(checkpoint, dtype=torch.float32, attn_implementation="sdpa").eval()
    with _no_telemetry(), torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer: which branches it takes
        for part, graph in _graphs(model, family):
            import openvino

            path = folder / f"openvino_{part}.xml"
            openvino.save_model(graph, path, compress_to_fp16=dtype == "fp16")
    return folder


def _graphs(model: Any, family: str) -> Iterator[tuple[str, Any]]:
    visual, text = model.model.visual, model.config.get_text_config()
    ids = torch.arange(6).reshape(2, 3)
    yield (
        "text_embeddings_model",
        _convert(
            model.model.language_model.embed_tokens,
            {"input": (ids, (None, None))},
            ["inputs_embeds"],
        ),
    )
    pixels = torch.rand(16, _patch_values(model.config.vision_config))
    yield (
        "vision_embeddings_model",
        _convert(
            visual.patch_embed, {"hidden_states": (pixels, (None, None))}, ["last_hidden_state"]
        ),
    )
    yield "vision_embeddings_merger_model", _vision_encoder(visual, pixels)
    if family == "qwen3_vl":
        places = torch.arange(8).reshape(4, 2)
        yield (
            "vision_embeddings_pos_model",
            _convert(visual.pos_embed, {"input": (places, (4, None))}, ["last_hidden_state"]),
        )
    yield "language_model", _language(model, text, family)


def _patch_values(vision: Any) -> int:
    channels = getattr(vision, "in_channels", None) or vision.in_chans
    return int(channels * vision.temporal_patch_size * vision.patch_size**2)


class _Encoder(torch.nn.Module):
    """The blocks of a vision encoder with masks and angles that are given."""

    def __init__(self, visual: Any) -> None:
        super().__init__()
        self.visual = visual
        self.deep = list(getattr(visual, "deepstack_visual_indexes", ()))

    def forward(self, hidden_states: Any, attention_mask: Any, rotary_pos_emb: Any) -> Any:
        deep = []
        for number, block in enumerate(self.visual.blocks):
            hidden_states = _block(block, hidden_states, attention_mask, rotary_pos_emb)
            if number in self.deep:
                merger = self.visual.deepstack_merger_list[self.deep.index(number)]
                deep.append(merger(hidden_states))
        merged = self.visual.merger(hidden_states)
        return (merged, torch.stack(deep)) if deep else merged


class _WindowEncoder(torch.nn.Module):
    """The same for Qwen2.5-VL, most of whose layers attend in windows."""

    def __init__(self, visual: Any) -> None:
        super().__init__()
        self.visual = visual

    def forward(
        self,
        hidden_states: Any,
        attention_mask: Any,
        window_attention_mask: Any,
        window_index: Any,
        rotary_pos_emb: Any,
    ) -> Any:
        unit = self.visual.spatial_merge_unit

        def ordered(tensor: Any) -> Any:
            return tensor.reshape(-1, unit, tensor.shape[-1])[window_index].flatten(0, 1)

        hidden_states, angles = ordered(hidden_states), ordered(rotary_pos_emb)
        for number, block in enumerate(self.visual.blocks):
            is_full = number in self.visual.fullatt_block_indexes
            mask = attention_mask if is_full else window_attention_mask
            hidden_states = _block(block, hidden_states, mask, angles)
        return self.visual.merger(hidden_states)[torch.argsort(window_index)]


def _block(block: Any, hidden: Any, mask: Any, angles: Any) -> Any:
    attention, count = block.attn, hidden.shape[0]
    whole = torch.cat([angles, angles], dim=-1)
    cos, sin = (each[:, None] for each in (whole.cos(), whole.sin()))
    projected = attention.qkv(block.norm1(hidden)).reshape(count, 3, attention.num_heads, -1)
    queries, keys, values = projected.permute(1, 0, 2, 3).unbind(0)
    queries, keys = (each * cos + _half_turned(each) * sin for each in (queries, keys))
    parts = [each.transpose(0, 1) for each in (queries, keys, values)]
    seen = scaled_dot_product_attention(*parts, attn_mask=mask)
    hidden = hidden + attention.proj(seen.transpose(0, 1).reshape(count, -1))
    return hidden + block.mlp(block.norm2(hidden))


def _half_turned(tensor: Any) -> Any:
    first, second = tensor.chunk(2, dim=-1)
    return torch.cat([-second, first], dim=-1)


def _vision_encoder(visual: Any, pixels: torch.Tensor) -> Any:
    hidden, count = visual.patch_embed(pixels), len(pixels)
    width = visual.blocks[0].attn.qkv.in_features // visual.blocks[0].attn.num_heads // 2
    mask, angles = torch.zeros(1, count, count), torch.rand(count, width)
    inputs = {"hidden_states": (hidden, (None, hidden.shape[1]))}
    inputs["attention_mask"] = (mask, (1, None, None))
    if hasattr(visual, "fullatt_block_indexes"):
        inputs["window_attention_mask"] = (mask, (1, None, None))
        inputs["window_index"] = (torch.arange(count // visual.spatial_merge_unit), (None,))
    inputs["rotary_pos_emb"] = (angles, (None, width))
    is_deep = hasattr(visual, "deepstack_visual_indexes")
    outputs = ["last_hidden_state", *(["deepstack_feature_lists"] if is_deep else [])]
    kind = _WindowEncoder if "window_index" in inputs else _Encoder
    return _convert(kind(visual), inputs, outputs)


class _Language(torch.nn.Module):
    """The language model with its keys and values as inputs and outputs."""

    def __init__(self, model: Any, num_deep: int) -> None:
        super().__init__()
        self.model, self.num_deep = model, num_deep
        self.inner = model.model.language_model
        takes = names_of(type(self.inner).forward)
        self.cache_name = "cache" if "cache" in takes else "past_key_values"
        self.inner._deepstack_process = _deepstack

    def forward(
        self, attention_mask: Any, position_ids: Any, inputs_embeds: Any, *rest: Any
    ) -> Any:
        deep, past = rest[: 2 if self.num_deep else 0], rest[2 if self.num_deep else 0 :]
        cache = DynamicCache(config=self.model.config)
        for layer, keys, values in zip(cache.layers, past[::2], past[1::2], strict=True):
            layer.lazy_initialization(keys, values)
            layer.keys, layer.values = keys, values
        known, length = past[0].shape[2], inputs_embeds.shape[1]
        places = torch.arange(attention_mask.shape[1])
        is_seen = places[None, :] <= (torch.arange(length) + known)[:, None]
        is_seen = is_seen[None, None] & attention_mask.bool()[:, None, None]
        least = torch.finfo(torch.float32).min
        mask = torch.where(is_seen, torch.tensor(0.0), torch.tensor(least))
        options = {self.cache_name: cache, "use_cache": True}
        if deep:
            levels = [deep[1][level] for level in range(self.num_deep)]
            options |= {"visual_pos_masks": deep[0], "deepstack_visual_embeds": levels}
        output = self.inner(
            inputs_embeds=inputs_embeds, attention_mask=mask, position_ids=position_ids, **options
        )
        present = [part for layer in cache.layers for part in (layer.keys, layer.values)]
        return (self.model.lm_head(output.last_hidden_state), *present)


def _deepstack(hidden_states: Any, visual_pos_masks: Any, visual_embeds: Any) -> Any:
    shown = visual_pos_masks.reshape(-1)
    at = torch.clamp(torch.cumsum(shown.long(), dim=0) - 1, min=0)
    added = visual_embeds.index_select(0, at) * shown[:, None].to(visual_embeds.dtype)
    return hidden_states + added.reshape(hidden_states.shape)


def _language(model: Any, text: Any, family: str) -> Any:
    indexes = getattr(model.config.vision_config, "deepstack_visual_indexes", None) or ()
    width, heads = text.hidden_size, text.num_key_value_heads
    size = getattr(text, "head_dim", None) or width // text.num_attention_heads
    inputs: dict[str, tuple[torch.Tensor, Axes]] = {
        "attention_mask": (torch.ones(2, 7, dtype=torch.long), (None, None)),
        "position_ids": (torch.arange(4, 7).repeat(3, 2, 1), (3, None, None)),
        "inputs_embeds": (torch.rand(2, 3, width), (None, None, width)),
    }
    if indexes:
        shown = torch.zeros(2, 3, dtype=torch.bool)
        shown[:, 1] = True
        inputs["visual_pos_masks"] = (shown, (None, None))
        inputs["deepstack_visual_embeds"] = (
            torch.rand(len(indexes), 2, width),
            (None, None, width),
        )
    past = {
        f"past_key_values.{layer}.{kind}": (
            torch.rand(2, heads, 4, size),
            (None, heads, None, size),
        )
        for layer in range(text.num_hidden_layers)
        for kind in ("key", "value")
    }
    present = [name.replace("past_key_values", "present") for name in past]
    wrapped = _Language(model, len(indexes))
    try:
        graph = _convert(wrapped, {**inputs, **past}, ["logits", *present])
    finally:
        del wrapped.inner._deepstack_process
    _keep_state(graph, [*past], present)
    return graph


def _convert(
    module: Callable[..., Any],
    inputs: dict[str, tuple[torch.Tensor, Axes]],
    outputs: Sequence[str],
) -> Any:
    """Convert a module, and name the inputs and outputs of its graph."""
    import openvino

    given = tuple(tensor for tensor, _ in inputs.values())
    graph = openvino.convert_model(module, example_input=given if len(given) > 1 else given[0])
    for port, (name, (_, axes)) in zip(graph.inputs, inputs.items(), strict=True):
        port.get_tensor().set_names({name})
        shape = [openvino.Dimension() if axis is None else axis for axis in axes]
        port.get_node().set_partial_shape(openvino.PartialShape(shape))
    for port, name in zip(graph.outputs, outputs, strict=True):
        port.get_tensor().set_names({name})
    graph.validate_nodes_and_infer_types()
    return graph


def _keep_state(graph: Any, past: Sequence[str], present: Sequence[str]) -> None:
    """Hide keys and values in the graph, whose rows `beam_idx` chooses."""
    import openvino
    from openvino._offline_transformations import apply_make_stateful_transformation

    ops = openvino.opset13
    rows = ops.parameter(openvino.PartialShape([-1]), openvino.Type.i32, name="beam_idx")
    rows.output(0).get_tensor().add_names({"beam_idx"})
    graph.add_parameters([rows])
    for name in past:
        port = graph.input(name)
        readers = port.get_target_inputs()
        chosen = ops.gather(port, rows, ops.constant(0))
        for reader in readers:
            reader.replace_source_output(chosen.output(0))
    graph.validate_nodes_and_infer_types()
    apply_make_stateful_transformation(graph, dict(zip(past, present, strict=True)))
    shape = ops.shape_of(graph.input("inputs_embeds"), output_type="i64")
    batch = ops.gather(shape, ops.constant([0]), ops.constant(0))
    for node in graph.get_ops():
        if node.get_type_name() == "ReadValue":
            dims = [dim.min_length for dim in node.get_output_partial_shape(0)]
            parts = [batch, *(ops.constant([dim], openvino.Type.i64) for dim in dims[1:])]
            zero = ops.constant(0.0, node.get_output_element_type(0))
            node.set_arguments([ops.broadcast(zero, ops.concat(parts, axis=0))])
    graph.validate_nodes_and_infer_types()


@contextmanager
def _no_telemetry() -> Iterator[None]:
    """Keep the converter from telling its maker that it was used."""
    name = "openvino_telemetry"
    before = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]  # which makes its import fail
    try:
        yield
    finally:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
