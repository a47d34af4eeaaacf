"""Names of tensors, which show the program that saved the weights.

transformers ignores names that it does not know, and fills the gaps with random numbers. Names that
it renames by itself are no fault here; the tests compare with it, family by family.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from qwenvl_kit.checkpoints.foreign_formats import Fault
from qwenvl_kit.checkpoints.settings import Settings
from qwenvl_kit.checkpoints.weights import TensorInfo
from qwenvl_kit.families import FAMILIES, Family

_ORIGINAL = "the safetensors checkpoint that it was made from"
_KNOWN = "model.language_model, model.visual and lm_head"

_ADAPTER = re.compile(r"\.(lora_[A-Za-z_]+|base_layer|modules_to_save|original_module)\b")
_WRAPPER = re.compile(
    r"(_fsdp_wrapped_module|_checkpoint_wrapped_module|_orig_mod|_forward_module)\.|"
    r"language_model\.(?=language_model\.)|visual\.(?=visual\.)"
)
_FOREIGN: tuple[tuple[str, str, str], ...] = (
    (r"blk\.\d+\.|token_embd\.", "llama.cpp", _ORIGINAL),
    (r"(.*\.)?decoder\.layers\.\d+\.self_attention\.|(.*\.)?encoder\.layers\.\d+\.", "Megatron",
     "convert it to the format of Hugging Face with the program that trained it"),
    (r"(.*\.)?mm_projector\.", "LLaVA", "the program that its publisher names"),
    (r"transformer\.h\.\d+\.|transformer\.visual\.", "Qwen-VL of 2023",
     "a newer checkpoint, such as 'Qwen/Qwen3-VL-8B-Instruct'"),
    (r".*\.(deq_scale|quant_bias|input_offset|weight_offset)$", "a quantiser for Ascend",
     _ORIGINAL),
    (r"tok_embeddings\.|layers\.\d+\.attention\.w[qkvo]\.", "torchtune or Meta",
     "save it again in the format of Hugging Face"),
)  # fmt: skip
"""Patterns of names that transformers never gives to a Qwen-VL: the program, and the cure."""

_ROOT = re.compile(
    r"(.*?)(model\.language_model\.|model\.visual\.|language_model\.|visual\.|vision_tower\.|"
    r"lm_head\.|mtp\.|model\.(?:layers|embed_tokens|norm)\.)"
)
_TEXT = re.compile(r"\blayers\.\d+\.")
_VISION = re.compile(r"\b(visual|vision_tower|blocks\.\d+|vision_model)\.")
_BARE_TEXT = re.compile(r"(language_model\.model\.)?(layers\.\d+|embed_tokens|norm)\.")
_OLD_TEXT = re.compile(r"model\.(layers\.\d+|embed_tokens|norm)\.")
_ROOTS = {"model", "language_model", "visual", "vision_tower", "lm_head", "mtp"}

_RENAME = """open the file with safetensors.torch.load_file, remove {prefix!r} from the names, and \
save_file(weights, path, metadata={{"format": "pt"}}); better, save the inner model itself \
(model.module, or accelerator.unwrap_model(model), and its save_pretrained)"""


def naming_fault(tensors: Sequence[TensorInfo], settings: Settings) -> Fault | None:
    """Return the reason why transformers would not find the weights by these names.

    Args:
        tensors: tensors in the files.
        settings: the checkpoint's config.json.

    Returns:
        None if it finds them, or if only loading can tell.
    """
    names = [tensor.name for tensor in tensors if not tensor.name.startswith("mtp.")]
    faults = (
        _not_merged(names),
        _wrapped(names),
        _foreign(names),
        _prefixed(names, settings),
        _of_mlx(tensors),
        _half(names),
        _of_another_family(names, settings),
        _of_old_layout(names, settings),
        _headless(names, settings),
        _emptied(tensors, settings),
        _packed(names, settings),
    )
    return next((fault for fault in faults if fault is not None), None)


def stray_tensors(tensors: Iterable[TensorInfo]) -> tuple[str, ...]:
    """Return the names of tensors that belong to no part of a Qwen-VL, such as scoring heads."""
    return tuple(t.name for t in tensors if t.name.partition(".")[0] not in _ROOTS)


def _not_merged(names: Iterable[str]) -> Fault | None:
    found = _first(_ADAPTER, names)
    if found is None:
        return None
    return Fault(
        f"an adapter that is not merged into the model ({found!r})",
        "merge the adapter before saving: model.merge_and_unload().save_pretrained(FOLDER); or "
        "save it alone, with model.save_pretrained of peft, and give that folder as adapter=...",
    )


def _wrapped(names: Iterable[str]) -> Fault | None:
    found = _first(_WRAPPER, names)
    if found is None:
        return None
    wrapper = _WRAPPER.search(found)
    return Fault(
        f"names of a wrapped model, or names with a part twice ({found!r})",
        _RENAME.format(prefix=wrapper[0] if wrapper else ""),
    )


def _foreign(names: Sequence[str]) -> Fault | None:
    for pattern, program, cure in _FOREIGN:
        found = next((name for name in names if re.match(pattern, name)), None)
        if found is not None:
            return Fault(f"tensors named as {program} names them ({found!r})", cure)
    return None


def _prefixed(names: Sequence[str], settings: Settings) -> Fault | None:
    """The fault of names that all have the same prefix, except perhaps the heads."""
    prefixes = [match[1] for name in names if (match := _ROOT.match(name))]
    found = next((prefix for prefix in prefixes if prefix), None)
    if found is None or "" in prefixes or _is_taken_off(found, settings):
        return None
    first = next(name for name in names if name.startswith(found))
    return Fault(
        f"tensors whose names begin with {found!r} ({first!r} first), where transformers expects "
        f"{_KNOWN}",
        _RENAME.format(prefix=found),
    )


def _is_taken_off(prefix: str, settings: Settings) -> bool:
    """True if transformers removes the prefix: not if it renames or joins tensors first."""
    family = settings.family
    return prefix == "model." and not (family.reads_old_layout or family.is_mixture_of_experts)


def _of_mlx(tensors: Sequence[TensorInfo]) -> Fault | None:
    # In MLX the channels of a convolution's weights are the last dimension.
    found = next(
        (
            tensor.name
            for tensor in tensors
            if tensor.name.startswith("vision_tower.")
            or (".patch_embed.proj.weight" in tensor.name and tensor.shape[-1:] == (3,))
        ),
        None,
    )
    if found is None:
        return None
    return Fault(
        f"tensors as MLX saves them ({found!r})",
        f"{_ORIGINAL}: MLX runs on Apple's computers, and transposes some of the weights",
    )


def _of_another_family(names: Sequence[str], settings: Settings) -> Fault | None:
    own = settings.family
    matching = [family for family in (own, *FAMILIES.values()) if _has_names_of(names, family)]
    found = max(matching, key=lambda family: len(family.tensor_name_parts), default=own)
    if found is own:
        return None
    return Fault(
        f"the tensors of a {found.model_type}, and config.json says {own.model_type}",
        "the config.json that belongs to these weights",
    )


def _has_names_of(names: Sequence[str], family: Family) -> bool:
    return all(any(part in name for name in names) for part in family.tensor_name_parts)


def _of_old_layout(names: Sequence[str], settings: Settings) -> Fault | None:
    unread = [_BARE_TEXT] if settings.family.reads_old_layout else [_BARE_TEXT, _OLD_TEXT]
    found = next((name for name in names if any(form.match(name) for form in unread)), None)
    if found is None:
        return None
    return Fault(
        f"a language model whose names begin as {found!r} does, where transformers expects "
        f"'model.language_model.' for {settings.family.model_type}",
        "save it again with the transformers that it was trained with, by save_pretrained of "
        f"{settings.family.model_class}; or rename its tensors with safetensors.torch",
    )


def _half(names: Sequence[str]) -> Fault | None:
    has_text, has_vision = (any(map(part.search, names)) for part in (_TEXT, _VISION))
    if has_text == has_vision:
        return None
    if has_text:
        return Fault(
            "a language model alone, no tensor of a vision encoder",
            "the whole checkpoint: a text model sees no pictures; if this one was taken out of a "
            "vision-language model, put its tensors back into the files of that model",
        )
    return Fault("a vision encoder alone", "the whole checkpoint")


def _headless(names: Sequence[str], settings: Settings) -> Fault | None:
    """The fault of an output layer that is missing and not tied: it would get random weights."""
    if settings.ties_embeddings or any("lm_head." in name for name in names):
        return None
    heads = [name for name in names if name.partition(".")[0] not in _ROOTS]
    what = "no lm_head.weight, and config.json does not tie it to the embeddings"
    if heads:
        return Fault(
            f"{what}; it holds {heads[0]!r}, the head of a model that scores or embeds and "
            "answers nothing",
            "an Instruct checkpoint of the same family",
        )
    where = (
        " ('tie_word_embeddings' stands in text_config alone, where this family does not read it)"
        if settings.says_tied_within
        else ""
    )
    return Fault(
        f"{what}{where}: a model that embeds or ranks answers nothing",
        "an Instruct checkpoint of the same family; or, if its output layer was tied, "
        '"tie_word_embeddings": true at the top of config.json',
    )


def _emptied(tensors: Iterable[TensorInfo], settings: Settings) -> Fault | None:
    found = [tensor.name for tensor in tensors if tensor.is_floating and not tensor.num_values]
    if settings.quantization or not found:
        return None
    return Fault(
        f"{len(found)} empty tensors ({found[0]!r} first), as DeepSpeed ZeRO-3 saves the weights "
        "that other processes hold",
        "zero_to_fp32.py in the training state, or stage3_gather_16bit_weights_on_model_save in "
        "the settings of DeepSpeed",
    )


def _packed(names: Iterable[str], settings: Settings) -> Fault | None:
    """The fault of quantised weights that config.json does not tell, as old programs save them."""
    packed = re.compile(r"\.(qweight|weight_packed|weight\.absmax|weight\.quant_state\S*|SCB)$")
    found = None if settings.quantization else _first(packed, names)
    if found is None:
        return None
    return Fault(
        f"quantised weights ({found!r}), and config.json has no quantization_config",
        "copy quantize_config.json or quant_config.json into config.json as quantization_config, "
        "with its quant_method; or take the checkpoint that is not quantised",
    )


def _first(pattern: re.Pattern[str], names: Iterable[str]) -> str | None:
    return next((name for name in names if pattern.search(name)), None)
