"""Keywords of transformers' functions, held against the versions that are installed.

Most of these functions take `**kwargs` as well, and pass over what they do not know in them: a
keyword that was renamed or removed raises nothing, and every answer is another one. So each that
this backend uses is looked up in the signature, once for each load.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
import transformers

from qwenvl_kit.errors import OutdatedPackageError
from qwenvl_kit.families import Family

_CACHE_NAMES = ("cache", "past_key_values")
"""What `forward` has called its cache, the latest first: the second until transformers 5.23, and
with a warning until 5.40."""

_FORWARD = ("input_ids", "attention_mask", "position_ids", "logits_to_keep", "mm_encoder_outputs")
_POSITIONS = ("mm_token_type_ids", "attention_mask", "image_grid_thw", "video_grid_thw")
_IMAGES = ("do_resize", "return_tensors")
_VIDEOS = (*_IMAGES, "do_sample_frames", "cap_pixels_per_frame")


def check_keywords(model: Any, processor: Any, family: Family) -> None:
    """Refuse versions of transformers that would swallow what this backend tells them.

    What raises by itself where a keyword is not known is not looked up: loading, and all classes of
    transformers that take no `**kwargs`.

    Args:
        model: the model of transformers.
        processor: its processor.
        family: its family.

    Raises:
        OutdatedPackageError: a keyword is not taken, with the versions that are installed.
    """
    cache_keyword(model)
    _require(_FORWARD, _forward(model), "forward")
    language = type(model.model.language_model).forward
    _require(("use_cache",), _forward(model) | names_of(language), "forward")
    seconds = ("second_per_grid_ts",) if family.positions_in_seconds else ()
    _require((*_POSITIONS, *seconds), names_of(model.model.get_rope_index), "get_rope_index")
    for names, part in ((_IMAGES, processor.image_processor), (_VIDEOS, processor.video_processor)):
        known = names_of(part.preprocess) | set(getattr(part.valid_kwargs, "__annotations__", ()))
        _require(names, known, type(part).__name__)
    _require(("skip_special_tokens",), names_of(processor.tokenizer.decode), "decode")


def cache_keyword(model: Any) -> str:
    """The name under which a model's `forward` takes its cache.

    Raises:
        OutdatedPackageError: it takes none.
    """
    known = _forward(model)
    found = next((name for name in _CACHE_NAMES if name in known), None)
    if found is None:
        raise unfit(f"forward of {type(model).__name__} names none of {', '.join(_CACHE_NAMES)}")
    return found


def names_of(function: Callable[..., Any]) -> frozenset[str]:
    """The parameters that a function names, decorators left aside; not what `**kwargs` may hold."""
    parameters = inspect.signature(inspect.unwrap(function)).parameters.values()
    return frozenset(p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD)


def unfit(trouble: str) -> OutdatedPackageError:
    """What is installed cannot run a model as this backend does.

    Args:
        trouble: what is wrong, in words.
    """
    return OutdatedPackageError(
        f"{trouble} (transformers {transformers.__version__}, torch {torch.__version__})",
        expected="versions of transformers and torch that this release of qwenvl_kit was made for",
        hint="pip install --upgrade qwenvl-kit, or an earlier transformers",
    )


def _forward(model: Any) -> frozenset[str]:
    return names_of(type(model).forward)


def _require(names: Iterable[str], known: Iterable[str], function: str) -> None:
    missing = sorted(set(names) - set(known))
    if missing:
        raise unfit(f"{function} does not name {', '.join(missing)}, and would pass over it")
