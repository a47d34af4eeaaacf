"""Faults that are put into the kit on purpose, each of which the pretended device must see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import MappingProxyType
from typing import Any
from unittest.mock import patch

import numpy
import torch

from qwenvl_kit.backends.local.cache import kv_cache
from qwenvl_kit.backends.local.engine import (
    decode,
    model_runner,
    processed_logits,
    sampler,
    top_logits,
    vision_encoder,
)

Fault = Callable[[], AbstractContextManager[Any]]


def inputs_that_stay_on_the_processor() -> AbstractContextManager[Any]:
    """The ids and positions of a step are not copied to the device."""
    return patch.object(model_runner, "upload", lambda tensor, _: tensor)


def pixels_that_stay_on_the_processor() -> AbstractContextManager[Any]:
    """Patches are not copied to the device."""
    return patch.object(vision_encoder, "upload", lambda tensor, _: tensor)


def a_mask_that_stays_on_the_processor() -> AbstractContextManager[Any]:
    """The mask of the padding of a batch is not copied to the device."""
    return patch.object(decode, "upload", lambda tensor, _: tensor)


def masks_of_grammars_that_stay_on_the_processor() -> AbstractContextManager[Any]:
    """The tokens that a grammar allows are not copied to the device."""
    return patch.object(processed_logits, "upload", lambda tensor, _: tensor)


def logits_as_an_array() -> AbstractContextManager[Any]:
    """An array is made of tensors of the device."""

    def to_host(tensors: Any) -> Any:
        return [numpy.asarray(tensor).tolist() for tensor in tensors]

    return patch.object(decode, "to_host", to_host)


def sums_in_fp64() -> AbstractContextManager[Any]:
    """Tokens are drawn by sums in fp64."""
    drawn = sampler.drawn
    return patch.object(sampler, "drawn", lambda weights, chance: drawn(weights.double(), chance))


def a_wait_for_each_row() -> AbstractContextManager[Any]:
    """The normalizer of each row is asked for by itself."""
    original = top_logits.TopLogits.log_normalizers

    def log_normalizers(top: top_logits.TopLogits) -> torch.Tensor:
        found = original(top)
        return found + sum(0.0 * float(each) for each in found)

    return patch.object(top_logits.TopLogits, "log_normalizers", log_normalizers)


def an_upload_for_each_row() -> AbstractContextManager[Any]:
    """The ids of each row are copied by themselves."""
    upload = model_runner.upload

    def row_by_row(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
        if tensor.ndim < 3:
            return upload(tensor, device)
        return torch.cat([upload(row, device) for row in tensor.split(1, dim=1)], dim=1)

    return patch.object(model_runner, "upload", row_by_row)


def uploads_that_are_waited_for() -> AbstractContextManager[Any]:
    """The inputs of a step are copied by a call that waits."""
    return patch.object(model_runner, "upload", lambda tensor, device: tensor.to(device))


@contextmanager
def a_prefix_that_is_a_mapping() -> Iterator[None]:
    """A prefix that is held once is a mapping, whose tensors accelerate copies at every layer."""

    class Prefix(dict[int, Any]):
        is_read = True

    def made(layers: Mapping[int, Any]) -> Any:
        return Prefix(layers)

    with patch.object(kv_cache, "TrackedPrefix", made):
        yield


FAULTS: Mapping[str, tuple[Fault, str]] = MappingProxyType(
    {
        "inputs that stay on the processor": (inputs_that_stay_on_the_processor, "a_stop_string"),
        "pixels that stay on the processor": (pixels_that_stay_on_the_processor, "a_picture"),
        "masks of grammars that stay on the processor": (
            masks_of_grammars_that_stay_on_the_processor,
            "bound_answers",
        ),
        "logits as an array": (logits_as_an_array, "a_stop_string"),
        "sums in fp64": (sums_in_fp64, "samples"),
    }
)
"""Faults that make operations fail, each with a scenario in which it happens."""

WASTE: Mapping[str, Fault] = MappingProxyType(
    {
        "a mask of padding that stays on the processor": a_mask_that_stays_on_the_processor,
        "a wait for each row": a_wait_for_each_row,
        "an upload for each row": an_upload_for_each_row,
        "uploads that are waited for": uploads_that_are_waited_for,
    }
)
"""Faults that make a step slower, and change no answer."""
