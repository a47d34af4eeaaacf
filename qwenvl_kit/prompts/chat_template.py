"""The chat template of a checkpoint, rendered as transformers renders it, but within bounds.

`apply_chat_template` of transformers has no bound of time or memory. Its other work around the
template is repeated here, and tests compare the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import jinja2

from qwenvl_kit.errors import CheckpointError
from qwenvl_kit.prompts.render_meter import metered, weight
from qwenvl_kit.prompts.sandbox import MeteredEnvironment

_MAX_SOURCE = 65_536
"""Most characters of a template: eight times the longest of a Qwen-VL model. Compiling that many
takes a second."""

_END = "THE_FINAL_MESSAGE_ENDS_HERE "
"""A mark for the end of an answer that goes on; its blank shows if the template trims blanks."""

_THOUGHTS = ("reasoning_content", "thinking", "reasoning")
"""Names for thoughts in a turn, the first found counts; templates of other publishers read the
second."""


def chat_template_of(processor: Any, *, with_tools: bool = False) -> ChatTemplate:
    """Return the template by which a processor renders.

    If a tokenizer has several templates, it takes the one for tools by itself
    (`get_chat_template`). A processor never does, so this holds only for templates that the
    processor took from its tokenizer.

    Args:
        processor: the checkpoint's processor, as `AutoProcessor` loads it.
        with_tools: True if the conversation offers tools.

    Raises:
        CheckpointError: there is no template, or it cannot be used.
    """
    templates = processor.chat_template
    if not isinstance(templates, dict):
        return ChatTemplate(str(templates or ""), processor.tokenizer.special_tokens_map)
    is_adopted = templates is processor.tokenizer.chat_template
    name = "tool_use" if with_tools and is_adopted and "tool_use" in templates else "default"
    if name not in templates:
        raise CheckpointError(
            f"the checkpoint has the chat templates {', '.join(templates)}",
            expected="one of them with the name 'default'",
        )
    return ChatTemplate(templates[name], processor.tokenizer.special_tokens_map)


class ChatTemplate:
    """A compiled chat template.

    Args:
        source: the template of the checkpoint.
        special_tokens: special tokens by their names, such as `eos_token`, which templates may
            write.

    Raises:
        CheckpointError: the source is not a template of Jinja, or is too long.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, Any]) -> None:
        self._template = _compiled(source)
        self._writes_content = "content" in source
        self._special_tokens = dict(special_tokens)

    def render(
        self,
        turns: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        goes_on: bool = False,
        ends: bool = False,
        **switches: Any,
    ) -> str:
        """Render the prompt of a conversation.

        Args:
            turns: its messages, with their content as a list of parts.
            tools: the tools that the model may call.
            goes_on: True if the last message is the beginning of the answer, which the model
                continues; otherwise the prompt ends with the header of a new answer.
            ends: True if nothing follows the last message, so that there is no such header.
            switches: other variables of the template, such as `enable_thinking`.

        Raises:
            CheckpointError: the template takes more time or memory than the conversation can need.
            jinja2.TemplateError: the template refuses the conversation.
        """
        messages = [_with_both_names(_as_json(turn)) for turn in turns]
        given = {"messages": messages, "tools": _as_json(tools), "documents": None}
        if goes_on and not self._writes_content:
            raise jinja2.TemplateError("it writes no content that could go on")
        final = _add_mark(messages[-1]["content"]) if goes_on else None
        with metered(weight(given)):
            prompt = self._template.render(
                {
                    **self._special_tokens,
                    **switches,
                    **given,
                    "add_generation_prompt": not (goes_on or ends),
                }
            )
        return prompt if final is None else _cut_at_mark(prompt, final)


@lru_cache(maxsize=32)
def _compiled(source: str) -> jinja2.Template:
    if len(source) > _MAX_SOURCE:
        raise CheckpointError(
            f"the chat template has {len(source)} characters",
            expected=f"at most {_MAX_SOURCE}",
            hint="the chat template of the base model",
        )
    try:
        return _environment().compiled(source)
    except Exception as error:  # a template may be wrong in any way
        raise CheckpointError(
            f"the chat template cannot be used ({type(error).__name__}: {error})",
            expected="a template of Jinja",
            hint="the chat template of the base model",
        ) from error


@lru_cache(maxsize=1)
def _environment() -> MeteredEnvironment:
    return MeteredEnvironment()


def _as_json(value: Any) -> Any:
    """A copy of a value in types of JSON, because the sandbox knows only their methods."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, Mapping):
        return {_as_json(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_as_json, value)) if type(value) in (list, tuple) else [*value]
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    return f"<{type(value).__name__}>"


def _with_both_names(turn: dict[str, Any]) -> dict[str, Any]:
    """The turn with its thoughts under both names that templates read."""
    thoughts = next((turn[name] for name in _THOUGHTS if turn.get(name) is not None), None)
    if thoughts is None:
        return turn
    return {"thinking": thoughts, **turn, "reasoning_content": thoughts}


def _add_mark(content: Any) -> str:
    """Add the mark to the end of a message's last text, and return that text."""
    for part in reversed(content):
        if "text" in part:
            text: str = part["text"]
            part["text"] = text + _END
            return text
    raise jinja2.TemplateError("there is no text in the last message to go on with")


def _cut_at_mark(prompt: str, final: str) -> str:
    """The prompt up to the end of its last message, which the mark shows."""
    end = prompt.rfind(_END.strip())
    if end < 0 or final.strip() not in prompt:
        raise jinja2.TemplateError("it leaves out the last message, which is to go on")
    if prompt.startswith(_END, end):
        return prompt[:end]
    return prompt[:end].rstrip()  # the template trims messages
