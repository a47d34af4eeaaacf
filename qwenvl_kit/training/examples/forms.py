"""The forms of training files: their keys, and the form that a row has.

The keys are those of the pages on custom data of ms-swift, LLaMA-Factory, Qwen's own trainer
(`qwen-vl-finetune`), OpenAI and TRL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

from qwenvl_kit.errors import TrainingDataError
from qwenvl_kit.formats.keys import is_set, nearest, shown

Form: TypeAlias = Literal[
    "swift", "qwen", "sharegpt", "llava", "llamafactory", "alpaca", "openai", "trl"
]
"""The form of a file, by the program that it was made for."""

MEDIA_KEYS = {"image": "image", "images": "image", "video": "video", "videos": "video"}
"""The keys of pictures and films beside a conversation, each with the tag of its kind."""

_COMMON = (*MEDIA_KEYS, "system", "tools", "weight")


@dataclass(frozen=True)
class Shape:
    """The keys of one form.

    Attributes:
        needed: keys that a row of the form always has.
        others: further keys that are read.
    """

    needed: tuple[str, ...]
    others: tuple[str, ...] = ()

    @property
    def known(self) -> tuple[str, ...]:
        """All keys that are read."""
        return (*self.needed, *self.others, *_COMMON)


QUERY = Shape(("query", "response"), ("history", "objects", "loss_scale"))
MESSAGES = Shape(("messages",), ("objects", "loss_scale"))
CONVERSATIONS = Shape(("conversations",), ("objects",))
PAIRS = Shape(("conversation",), ("history",))
ALPACA = Shape(("instruction", "output"), ("input", "history"))
COMPLETION = Shape(("prompt", "completion"))

SHAPES: Mapping[str, tuple[Shape, ...]] = {
    "swift": (MESSAGES, QUERY, PAIRS, CONVERSATIONS, ALPACA),
    "qwen": (CONVERSATIONS,),
    "sharegpt": (CONVERSATIONS, PAIRS),
    "llava": (CONVERSATIONS,),
    "llamafactory": (MESSAGES, CONVERSATIONS, ALPACA),
    "alpaca": (ALPACA,),
    "openai": (MESSAGES,),
    "trl": (COMPLETION, MESSAGES),
}
"""The shapes that each form has."""

_ALL = (MESSAGES, QUERY, CONVERSATIONS, PAIRS, ALPACA, COMPLETION)

_OTHER_TRAINING = {
    **dict.fromkeys(
        ("chosen", "rejected", "rejected_response", "rejected_messages", "rejected_images"),
        "preference data, and the kit trains on answers",
    ),
    **dict.fromkeys(
        ("kto_tag", "label"), "data to rate or classify, and the kit trains on answers"
    ),
    **dict.fromkeys(("audio", "audios"), "sound, which these models do not take"),
}
"""Keys whose rows mean another kind of training; to leave them out would change the meaning."""


def shape_of(row: Mapping[str, Any], form: Form | None) -> Shape:
    """Return the shape of a row.

    Args:
        row: a row of a file.
        form: the form that was given; None to find it out.

    Raises:
        TrainingDataError: the row has no known shape, or two; or it means another kind of
            training.
    """
    for key, kind in _OTHER_TRAINING.items():
        if is_set(row.get(key)):
            raise TrainingDataError(
                f"the key {key!r} was given: {kind}",
                expected="a conversation that ends with the answer to learn",
                hint=f"ignore=[{key!r}], if the rest of the row is an example by itself",
            )
    shapes = _ALL if form is None else SHAPES[form]
    found = [shape for shape in shapes if all(row.get(key) is not None for key in shape.needed)]
    if len(found) == 1:
        return found[0]
    if found:
        named = " and ".join(repr(shape.needed[0]) for shape in found)
        raise TrainingDataError(
            f"a row with {named} was given, each of which is a conversation",
            expected="one of them",
            hint=f"ignore=[{found[-1].needed[0]!r}]",
        )
    raise _unknown(row, shapes, form)


def _unknown(
    row: Mapping[str, Any], shapes: Sequence[Shape], form: Form | None
) -> TrainingDataError:
    begun = next((s for s in shapes if any(row.get(key) is not None for key in s.needed)), None)
    if begun is not None:
        missing = next(key for key in begun.needed if row.get(key) is None)
        return TrainingDataError(
            f"the row has no {missing!r}",
            expected=" and ".join(map(repr, begun.needed)),
            hint=_renaming(row, [missing]),
        )
    needed = [key for shape in shapes for key in shape.needed]
    return TrainingDataError(
        f"a row with the keys {shown(sorted(map(str, row)))} was given"
        + (f" as form={form!r}" if form else ""),
        expected=" or ".join("+".join(shape.needed) for shape in shapes),
        hint=_renaming(row, needed),
    )


def _renaming(row: Mapping[str, Any], needed: Sequence[str]) -> str:
    """The line that reads a misspelt key, or a general one."""
    for key in row:
        meant = nearest(str(key), needed).strip("'")
        if meant in needed and meant != key:
            return f"columns={{{str(key)!r}: {meant!r}}}"
    return "columns={'question': 'query', 'answer': 'response'}, for keys under other names"


def form_name(shape: Shape, row: Mapping[str, Any]) -> Form:
    """The name of the form that a row has, by its shape and its media."""
    if shape is MESSAGES:
        return _form_of_messages(row)
    if shape is CONVERSATIONS:
        is_own = any(key in row for key in ("image", "video"))
        return "qwen" if is_own else "sharegpt"
    names: dict[int, Form] = {
        id(QUERY): "swift",
        id(PAIRS): "sharegpt",
        id(ALPACA): "alpaca",
        id(COMPLETION): "trl",
    }
    return names[id(shape)]


def _form_of_messages(row: Mapping[str, Any]) -> Form:
    """The form of a row of messages: tags in texts are those of ms-swift and LLaMA-Factory."""
    messages = row["messages"]
    turns = [turn for turn in messages if isinstance(turn, Mapping)] if is_list(messages) else []
    if any(is_list(turn.get("content")) or is_set(turn.get("tool_calls")) for turn in turns):
        return "openai"
    is_swift = any(key in row for key in (*MEDIA_KEYS, "objects")) or any(
        turn.get("role") in _SWIFT_ROLES or _has_tag(turn.get("content")) for turn in turns
    )
    return "swift" if is_swift else "openai"


_SWIFT_ROLES = ("tool_call", "tool_response")
_TAGS = ("<image>", "<video>", "<bbox>", "<ref-object>")


def _has_tag(content: object) -> bool:
    return isinstance(content, str) and any(tag in content for tag in _TAGS)


def is_list(value: object) -> bool:
    """True for a list or tuple."""
    return isinstance(value, (list, tuple))


def check_form(form: object) -> Form | None:
    """Return the form that was asked for; None stands for any.

    Raises:
        TrainingDataError: there is no such form.
    """
    if form is None or form in get_args(Form):
        return cast("Form | None", form)
    raise TrainingDataError(
        f"form={form!r} was given",
        expected=f"None, or one of {', '.join(get_args(Form))}",
        hint=nearest(str(form), get_args(Form)),
    )
