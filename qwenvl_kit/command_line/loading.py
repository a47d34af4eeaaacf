"""The chat and the settings that the options of a command describe."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qwenvl_kit.command_line.options import (
    EMBEDDED,
    KEY_VARIABLE,
    ModelOptions,
    SamplingOptions,
)
from qwenvl_kit.errors import InputError

if TYPE_CHECKING:
    from qwenvl_kit.chat import VisionChat
    from qwenvl_kit.media.policy import MediaPolicy
    from qwenvl_kit.options import PixelBudget, Sampling


def open_chat(options: ModelOptions, media: MediaPolicy | None = None) -> VisionChat:
    """Load the model, or connect to the server, that the options name; use it in a `with` block.

    Args:
        options: the options of a command.
        media: the media policy; None for that of the options.

    Raises:
        QwenVLKitError: it cannot be had.
    """
    from qwenvl_kit.chat import VisionChat
    from qwenvl_kit.media.policy import MediaPolicy

    if media is None and options.web:
        media = MediaPolicy.web()
    budget = _budget(options.budget)
    model = None if options.model in (None, "", EMBEDDED) else options.model
    if options.base_url is not None:
        return _connected(options, model, budget, media)
    if options.key_variable is not None:
        raise InputError("--key-variable was given", expected="it with --base-url")
    return VisionChat.from_pretrained(
        model,
        source=options.source,
        revision=options.revision,
        offline=options.offline,
        quantization=options.quantization,
        adapter=options.adapter,
        device=options.device,
        dtype=options.dtype,
        budget=budget,
        media=media,
    )


def sampling_of(chat: VisionChat, options: SamplingOptions) -> Sampling | None:
    """Return the settings of generation: the chat's own, but for those that are given.

    Raises:
        SamplingError: one is out of its range.
    """
    given = {"max_new_tokens": options.max_tokens, "temperature": options.temperature}
    given["seed"] = options.seed
    changed: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if options.temperature == 0:
        changed |= dict.fromkeys(("top_k", "top_p", "min_p"))
    return replace(chat.default_sampling, **changed) if changed else None


def _connected(
    options: ModelOptions, model: str | None, budget: PixelBudget | None, media: MediaPolicy | None
) -> VisionChat:
    from qwenvl_kit.chat import VisionChat

    for name in ("quantization", "adapter", "revision"):
        if getattr(options, name) is not None:
            raise InputError(
                f"--{name} was given with --base-url",
                expected="it for a model in this process; a server has loaded its own",
            )
    return VisionChat.connect(
        options.base_url or "",
        model=model,
        api_key=_key(options.key_variable),
        checkpoint=None if options.offline else "auto",
        budget=budget or "native",
        media=media,
    )


def _key(variable: str | None) -> str | None:
    """The server's key, from the variable that is named; the usual one need not be there."""
    key = os.environ.get(variable or KEY_VARIABLE)
    if not key and variable is not None:
        raise InputError(
            f"the environment has no variable {variable}",
            expected="the name of a variable that holds the server's key",
        )
    return key or None


def _budget(text: str | None) -> PixelBudget | None:
    """The budget of a preset's name, or of the most visual tokens of a picture."""
    from qwenvl_kit.options import PixelBudget

    if text is None:
        return None
    number = text.replace("_", "").replace(",", "")
    if number.isascii() and number.isdigit():
        return PixelBudget(max_tokens=int(number))
    return PixelBudget.from_name(text)
