"""How an input of a target ends."""

from __future__ import annotations

import re

from qwenvl_kit.errors import QwenVLKitError
from tests.fuzzing.files import FILE_TARGETS
from tests.fuzzing.streams import STREAM_TARGETS
from tests.fuzzing.targets import TEXT_TARGETS, Fuzzed

TARGETS = {**TEXT_TARGETS, **FILE_TARGETS, **STREAM_TARGETS}
"""All of them."""


def outcome(target: Fuzzed, content: bytes) -> str:
    """How an input ended: "taken", or the name of the error of the kit.

    Raises:
        Exception: anything else, which is a finding.
    """
    try:
        target.run(content)
    except QwenVLKitError as error:
        message = str(error)
        assert not re.search(r" at 0x[0-9a-fA-F]{6,}", message)
        assert "/site-packages/" not in message
        return type(error).__name__
    return "taken"
