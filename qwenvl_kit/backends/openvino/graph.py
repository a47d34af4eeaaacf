"""The graphs of exported parts: reading, checking and compiling them.

The language model gets one input more, `logits_to_keep`: the output layer then computes the last
places alone. As exported it computes logits for each token of a prompt, which for 2,000 tokens of
a vocabulary of 151,936 are 1.2 GB.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwenvl_kit.backends.openvino.error_mapping import first_reason
from qwenvl_kit.backends.openvino.folder import (
    LANGUAGE,
    TEXT_EMBEDDINGS,
    VISION_EMBEDDINGS,
    VISION_ENCODER,
    VISION_POSITIONS,
)
from qwenvl_kit.backends.openvino.properties import DEVICE
from qwenvl_kit.errors import CheckpointError, WeightsError

KEEP = "logits_to_keep"
_DEEPSTACK = frozenset({"visual_pos_masks", "deepstack_visual_embeds"})
_INPUTS: Mapping[str, frozenset[str]] = {
    LANGUAGE: frozenset({"attention_mask", "position_ids", "inputs_embeds", "beam_idx"}),
    VISION_ENCODER: frozenset({"hidden_states", "attention_mask", "rotary_pos_emb"}),
}
_MAY_HAVE: Mapping[str, frozenset[str]] = {
    LANGUAGE: _DEEPSTACK,
    VISION_ENCODER: frozenset({"window_attention_mask", "window_index"}),
}
_LAST = 2**31 - 1
_BITS = {
    "u4": "4-bit",
    "i4": "4-bit",
    "nf4": "4-bit",
    "f4e2m1": "4-bit",
    "u8": "8-bit",
    "i8": "8-bit",
}


@dataclass(frozen=True)
class CompiledParts:
    """The compiled parts of a model, each a `CompiledModel` of OpenVINO.

    Attributes:
        language: the language model, which keeps keys and values itself.
        text_embeddings: token ids to embeddings.
        vision_embeddings: patches to the encoder's input.
        vision_encoder: the blocks of the vision encoder and its merger.
        vision_positions: learned positions of patches; None for a family without them.
        quantization: "8-bit" or "4-bit", as most weights of the language model are; "none" if they
            are not quantised.
    """

    language: Any
    text_embeddings: Any
    vision_embeddings: Any
    vision_encoder: Any
    vision_positions: Any
    quantization: str


def compile_parts(
    core: Any, parts: Mapping[str, Path], properties: Mapping[str, Any]
) -> CompiledParts:
    """Read the graphs of an export and compile them.

    Args:
        core: the `Core` of OpenVINO.
        parts: the file of each graph.
        properties: the properties for compilation.

    Raises:
        WeightsError: a graph cannot be read, or has other inputs than optimum-intel gives it.
    """
    graphs = {part: _read(core, part, path) for part, path in parts.items()}
    quantized = quantization_of(graphs[LANGUAGE])
    keep_last_logits(graphs[LANGUAGE], parts[LANGUAGE])
    compiled = {
        part: core.compile_model(graph, DEVICE, dict(properties)) for part, graph in graphs.items()
    }
    return CompiledParts(
        compiled[LANGUAGE],
        compiled[TEXT_EMBEDDINGS],
        compiled[VISION_EMBEDDINGS],
        compiled[VISION_ENCODER],
        compiled.get(VISION_POSITIONS),
        quantized,
    )


def keep_last_logits(graph: Any, path: Path) -> None:
    """Let a language model compute logits of the last places alone, as many as it is told.

    Args:
        graph: the model of OpenVINO, which is changed.
        path: its file, for messages.

    Raises:
        WeightsError: its output is not that of a linear layer.
    """
    import openvino

    ops = openvino.opset13
    head = graph.output("logits").get_node().input_value(0).get_node()
    while head.get_type_name() in ("Convert", "Add"):  # fp16 weights; a bias
        head = head.input_value(0).get_node()
    if head.get_type_name() != "MatMul":
        raise WeightsError(
            f"{path} ends with {head.get_type_name()}, and not with an output layer",
            expected="a language model as optimum-intel exports it",
            hint="export again with optimum-intel 2.2",
        )
    count = ops.parameter([1], openvino.Type.i64, name=KEEP)
    count.output(0).get_tensor().add_names({KEEP})
    one = ops.constant([1], openvino.Type.i64)
    kept = ops.slice(
        head.input_value(0), ops.negative(count), ops.constant([_LAST], openvino.Type.i64), one, one
    )
    head.input(0).replace_source_output(kept.output(0))
    graph.add_parameters([count])
    graph.validate_nodes_and_infer_types()


def check_fits(parts: CompiledParts, config: Any, name: str) -> None:
    """Check that config.json describes the language model that was exported.

    Args:
        parts: the compiled parts.
        config: the configuration of transformers.
        name: the folder, for messages.

    Raises:
        CheckpointError: it describes another one.
    """
    text = config.get_text_config()
    (width,) = (
        each.partial_shape[2] for each in parts.language.inputs if each.any_name == "inputs_embeds"
    )
    rows = parts.language.output("logits").partial_shape[2]
    said = {
        "hidden_size": text.hidden_size,
        "vocab_size": text.vocab_size,
        "num_hidden_layers": text.num_hidden_layers,
    }
    found = {
        "hidden_size": width.get_length(),
        "vocab_size": rows.get_length(),
        "num_hidden_layers": len(parts.language.create_infer_request().query_state()) // 2,
    }
    wrong = [key for key in said if said[key] != found[key]]
    if wrong:
        told = ", ".join(f"{key}={said[key]}" for key in wrong)
        has = ", ".join(f"{key}={found[key]}" for key in wrong)
        raise CheckpointError(
            f"config.json of {name} says {told}, and the exported language model has {has}",
            expected="the files of one export",
            hint="export again into an empty folder",
        )


def input_names(compiled: Any) -> frozenset[str]:
    """The names of the inputs of a compiled model or a graph."""
    return frozenset(name for each in compiled.inputs for name in each.names)


def _read(core: Any, part: str, path: Path) -> Any:
    try:
        graph = core.read_model(path)
    except Exception as error:  # OpenVINO raises RuntimeError for whatever is damaged
        raise WeightsError(
            f"{path} cannot be read ({first_reason(error)})",
            expected="a graph and weights as optimum-intel exported them",
            hint="copy both files again, or export again",
        ) from error
    if part in _INPUTS:
        _check_inputs(part, path, input_names(graph))
    if part == LANGUAGE and not graph.get_sinks():
        raise WeightsError(
            f"{path} keeps no keys and values itself",
            expected="a stateful model, as optimum-cli exports without --disable-stateful",
            hint="export again",
        )
    return graph


def _check_inputs(part: str, path: Path, found: frozenset[str]) -> None:
    absent = sorted(_INPUTS[part] - found)
    more = sorted(found - _INPUTS[part] - _MAY_HAVE[part])
    if absent or more:
        said = [f"lacks the inputs {', '.join(absent)}"] if absent else []
        some = ", ".join(more[:3]) + (f" and {len(more) - 3} others" if len(more) > 3 else "")
        said += [f"wants the inputs {some}"] if more else []
        raise WeightsError(
            f"{path} {' and '.join(said)}",
            expected="a part as optimum-intel 2.2 exports it, for text generation with a cache",
            hint="export again, and see the guide's section on OpenVINO for the versions",
        )


def quantization_of(graph: Any) -> str:
    """The bits of most weights: "8-bit" or "4-bit"; "none" if they are no integers."""
    sizes: Counter[str] = Counter()
    for op in graph.get_ops():
        if op.get_type_name() == "Constant":
            kind = op.get_element_type().to_string()
            sizes[_BITS.get(kind, "none")] += op.get_byte_size()
    layers = {
        name: sizes[name] * scale for name, scale in (("4-bit", 4), ("8-bit", 2), ("none", 1))
    }
    return max(layers, key=layers.__getitem__)
