"""Tools as part of a conversation."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from qwenvl_kit.messages.message import Message, with_system_part
from qwenvl_kit.messages.tool_parts import ToolOffer
from qwenvl_kit.tools.functions import as_tools


def with_tools(
    messages: Sequence[Message], functions: Sequence[Callable[..., Any]]
) -> tuple[Message, ...]:
    """A conversation that offers tools; they stand in its system message.

    Raises:
        ToolError: a function that cannot be a tool, or two of one name.
    """
    offer = ToolOffer(
        tuple(json.dumps(tool.to_dict(), ensure_ascii=False) for tool in as_tools(functions))
    )
    return with_system_part(messages, offer)
