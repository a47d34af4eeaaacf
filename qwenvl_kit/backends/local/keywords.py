"""The keywords of transformers' functions, checked against the versions that are installed.

Most of these functions take `**kwargs` as well, and ignore unknown keywords in them: a keyword that
was renamed or removed raises no error, but changes every answer. So each keyword that this backend
uses is looked up in the signature, once for each load.
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
"""The names of the cache among the arguments of `forward`, the latest first. The second is that of
transformers before 5.23; until 5.40 it is taken with a warning."""

_FORWARD = ("input_ids", "attention_mask", "position_ids", "logits_to_keep", "mm_encoder_outputs")
_POSITIONS = ("mm_token_type_ids", "attention_mask", "image_grid_thw", "video_grid_thw")
_IMAGES = ("do_resize", "return_tensors")
_VIDEOS = (*_IMAGES, "do_sample_frames", "cap_pixels_per_frame")


def check_keywords(model: Any, processor: Any, family: Family) -> None:
    """Check that transformers knows all keywords that this backend gives it.

    Functions that raise an error for an unknown keyword are not looked up: loading, and all classes
    that take no `**kwargs`.

    Args:
        model: the model of transformers.
        processor: its processor.
        family: its family.

    Raises:
        OutdatedPackageError: a keyword is not known; the message has the installed versions.
    """
    check_forward(model)
    check_inputs(model, processor, family)


def check_forward(model: Any) -> None:
    """Check that the passes of a model take the keywords that they are given.

    Raises:
        OutdatedPackageError: see `check_keywords`.
    """
    cache_keyword(model)
    _require(_FORWARD, _forward(model), "forward")
    language = type(model.model.language_model).forward
    _require(("use_cache",), _forward(model) | names_of(language), "forward")


def check_inputs(model: Any, processor: Any, family: Family) -> None:
    """Check that what prepares the inputs of a model takes the keywords that it is given.

    Args:
        model: the model of transformers; it may have no weights.
        processor: its processor.
        family: its family.

    Raises:
        OutdatedPackageError: see `check_keywords`.
    """
    seconds = ("second_per_grid_ts",) if family.positions_in_seconds else ()
    _require((*_POSITIONS, *seconds), names_of(model.model.get_rope_index), "get_rope_index")
    for names, part in ((_IMAGES, processor.image_processor), (_VIDEOS, processor.video_processor)):
        known = names_of(part.preprocess) | set(getattr(part.valid_kwargs, "__annotations__", ()))
        _require(names, known, type(part).__name__)
    _require(("skip_special_tokens",), names_of(processor.tokenizer.decode), "decode")


def cache_keyword(model: Any) -> str:
    """The name of the cache among the arguments of a model's `forward`.

    Raises:
        OutdatedPackageError: it takes no cache under a known name.
    """
    known = _forward(model)
    found = next((name for name in _CACHE_NAMES if name in known), None)
    if found is None:
        raise outdated_error(
            f"forward of {type(model).__name__} names none of {', '.join(_CACHE_NAMES)}"
        )
    return found


def names_of(function: Callable[..., Any]) -> frozenset[str]:
    """The named parameters of a function, without its decorators and without `**kwargs`."""
    parameters = inspect.signature(inspect.unwrap(function)).parameters.values()
    return frozenset(p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD)


def outdated_error(trouble: str) -> OutdatedPackageError:
    """The error for installed versions that cannot run a model as this backend does.

    Args:
        trouble: a sentence about the fault.
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
        raise outdated_error(
            f"{function} does not name {', '.join(missing)}, and would pass over it"
        )
