"""Rows of training files, read as examples."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qwenvl_kit.errors import TrainingDataError, located
from qwenvl_kit.formats.dicts import from_dicts
from qwenvl_kit.formats.keys import is_set, nearest, shown
from qwenvl_kit.messages.message import Message, with_system_part
from qwenvl_kit.messages.tool_parts import ToolOffer
from qwenvl_kit.options import BudgetChoice
from qwenvl_kit.training.examples.example import Example, TrainedAnswers
from qwenvl_kit.training.examples.forms import (
    ALPACA,
    COMPLETION,
    CONVERSATIONS,
    MEDIA_KEYS,
    MESSAGES,
    PAIRS,
    QUERY,
    Form,
    Shape,
    form_name,
    is_list,
    shape_of,
)
from qwenvl_kit.training.examples.media_roots import with_root
from qwenvl_kit.training.examples.tags import TaggedParts
from qwenvl_kit.training.examples.turns import (
    Turn,
    dicts_to_messages,
    holds_marks,
    joined_calls,
    read_turns,
    to_messages,
    with_thoughts,
    with_trusted_marks,
)

_NO_EFFECT = frozenset(("id", "idx", "index", "uid", "uuid", "image_id", "question_id"))
"""Keys that name a row."""

_LOSS_SCALES = {"default": None, "last_round": "last"}
"""The values of ms-swift's `loss_scale` of a row that say which answers are learned."""

Note = Callable[[str, str], None]
"""Takes the place of something that is likely a mistake, and a sentence about it."""


@dataclass(frozen=True)
class RowReader:
    """Reads rows as examples.

    Attributes:
        form: the form of all rows; None to find out that of each.
        columns: other names of keys, each with the name that it stands for.
        ignore: keys that are left out.
        media_root: the folder of relative names of pictures; None for that of the file.
        answers: the answers that are learned.
        thinking: the switch of thinking; see `Example`.
        trust_marks: True if marks of places in questions are special tokens.
        budget: see `Example`.
    """

    form: Form | None = None
    columns: Mapping[str, str] | None = None
    ignore: tuple[str, ...] = ()
    media_root: str | os.PathLike[str] | None = None
    answers: TrainedAnswers = "all"
    thinking: bool | None = None
    trust_marks: bool = False
    budget: BudgetChoice | None = None

    def read(
        self, row: Any, where: str, note: Note, folder: str | os.PathLike[str] | None = None
    ) -> Iterator[tuple[Example, str]]:
        """Yield the examples of a row with the name of its form; a packed list holds several.

        Args:
            row: a dict, a list of dicts, messages, or an example.
            where: its place.
            note: takes what is likely a mistake.
            folder: the folder of its file; None for a row in memory.

        Raises:
            TrainingDataError: the row cannot be read; the error has its place.
            MessageError: a message in it has another form.
        """
        if isinstance(row, Example):
            yield (row if row.where else replace_place(row, where)), "Example"
        elif is_list(row) and row and all(_is_row(item) for item in row):
            for at, item in enumerate(row):
                yield from self.read(item, f"{where}[{at}]", note, folder)
        else:
            with located(where):
                yield self._read(row, where, note, folder)

    def _read(
        self, row: Any, where: str, note: Note, folder: str | os.PathLike[str] | None
    ) -> tuple[Example, str]:
        if is_list(row) and row:
            if any(isinstance(item, Message) for item in row):
                return self._example(from_dicts(row), {}, self.answers, where), "messages"
            row = {"messages": row}
        if not isinstance(row, Mapping):
            raise TrainingDataError(
                f"a row of type {type(row).__name__} was given",
                expected="a JSON object, a list of messages, or an Example",
            )
        named = self._named(row)
        shape = shape_of(named, self.form)
        self._check_keys(named, shape, where, note)
        name = self.form or form_name(shape, named)
        messages, learned = _conversation(named, shape, name, lambda text: note(where, text))
        root = folder if self.media_root is None else self.media_root
        if root is not None:
            messages = with_root(messages, root)
        messages = [with_thoughts(message) for message in messages]
        if self.trust_marks:
            messages = [with_trusted_marks(message) for message in messages]
        elif any(map(holds_marks, messages)):
            note(
                where,
                "a question spells tokens such as <|box_start|> as plain characters; "
                "trust_marks=True makes them the tokens, as TextPart(..., trusted=True) does",
            )
        answers = self._answers(messages, learned, named.get("loss_scale"))
        return self._example(messages, named, answers, where), name

    def _named(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row under the kit's names of keys, without those that are left out."""
        named: dict[str, Any] = {}
        for key, value in row.items():
            if key in self.ignore:
                continue
            name = (self.columns or {}).get(key, key)
            if name in named:
                raise TrainingDataError(
                    f"the key {name!r} is in the row, and columns names {key!r} so, too",
                    expected="one of them",
                    hint=f"ignore=[{name!r}]",
                )
            named[name] = value
        return named

    def _check_keys(self, row: Mapping[str, Any], shape: Shape, where: str, note: Note) -> None:
        """Refuse a misspelt key, and note any other that is not read."""
        for key, value in row.items():
            if key in shape.known or key in _NO_EFFECT or not is_set(value):
                continue
            meant = nearest(str(key), shape.known)
            if meant.startswith("'") and meant.strip("'") not in row:
                raise TrainingDataError(
                    f"the key {shown(key)} was given",
                    expected=", ".join(shape.known),
                    hint=f"{meant}; or ignore=[{shown(key)}]",
                )
            note(where, f"the key {shown(key)} is not read; ignore=[{shown(key)}] says so")

    def _answers(
        self, messages: Sequence[Message], learned: Sequence[bool], loss_scale: Any
    ) -> TrainedAnswers:
        """The answers that are learned, by the row and by the call."""
        chosen = self.answers
        if loss_scale is not None:
            if not isinstance(loss_scale, str) or loss_scale not in _LOSS_SCALES:
                raise TrainingDataError(
                    f"loss_scale={shown(loss_scale)} was given",
                    expected="'default' or 'last_round'",
                    hint="ignore=['loss_scale']",
                )
            chosen = "last" if _LOSS_SCALES[loss_scale] else chosen
        pairs = enumerate(zip(messages, learned))
        indices = [at for at, (m, is_learned) in pairs if m.role == "assistant" and is_learned]
        if not indices and any(m.role == "assistant" for m in messages):
            raise TrainingDataError(
                "no answer of the row is learned",
                expected="an answer without loss=false or weight=0",
            )
        is_all = len(indices) == sum(m.role == "assistant" for m in messages)
        if is_all or isinstance(chosen, tuple):
            return chosen
        return tuple(indices if chosen == "all" else indices[-1:])

    def _example(
        self,
        messages: Sequence[Message],
        row: Mapping[str, Any],
        answers: TrainedAnswers,
        where: str,
    ) -> Example:
        offer = _offer_of(row.get("tools"))
        if offer is not None:
            num_before = len(messages)
            messages = with_system_part(messages, offer)
            shift = len(messages) - num_before
            if isinstance(answers, tuple):
                answers = tuple(at + shift for at in answers)
        weight = row.get("weight")
        return Example(
            messages,
            weight=1.0 if weight is None else weight,
            answers=answers,
            thinking=self.thinking,
            budget=self.budget,
            where=where,
        )


def replace_place(example: Example, where: str) -> Example:
    """The example with a place."""
    return replace(example, where=where)


def _is_row(item: Any) -> bool:
    """True for a row of a packed list; False for a message of a conversation."""
    if isinstance(item, Example):
        return True
    return isinstance(item, Mapping) and not ("role" in item or "from" in item)


def _conversation(
    row: Mapping[str, Any], shape: Shape, form: str, note: Callable[[str], None]
) -> tuple[list[Message], list[bool]]:
    """The messages of a row, and for each True if it is learned."""
    key, turns = _TURNS[id(shape)](row)
    media = _media_of(row)
    system = row.get("system")
    if is_set(system) and system != "":
        if turns and turns[0].role == "system":
            raise TrainingDataError(
                "a system message stands in the row and in its conversation",
                expected="one of them",
            )
        if not isinstance(system, str):
            raise TrainingDataError(
                f"system of type {type(system).__name__} was given", expected="a text"
            )
        turns = [Turn("system", system), *turns]
    if any(turn.is_list for turn in turns):
        if is_set(row.get("objects")):
            raise TrainingDataError(
                "objects were given, and a message is a list of parts",
                expected="texts with <bbox> and <ref-object>",
            )
        return joined_calls(dicts_to_messages(turns, media), turns)
    objects = row.get("objects")
    tagged = TaggedParts(media, objects if is_set(objects) else None)
    texts = [turn.content for turn in turns if isinstance(turn.content, str)]
    untagged = tagged.check(texts)
    if untagged:
        note(
            f"a row has {' and '.join(untagged)} without a tag; it is shown before the first "
            "question, as ms-swift and TRL do"
        )
    messages = to_messages(turns, tagged, is_stripped=form == "qwen", key=key)
    return joined_calls(messages, turns)


def _turns_of_messages(row: Mapping[str, Any]) -> tuple[str, list[Turn]]:
    return "messages", read_turns(row["messages"], "messages")


def _turns_of_conversations(row: Mapping[str, Any]) -> tuple[str, list[Turn]]:
    return "conversations", read_turns(row["conversations"], "conversations")


def _turns_of_query(row: Mapping[str, Any]) -> tuple[str, list[Turn]]:
    return "turns", [*_history(row), *_pair(row["query"], row["response"])]


def _turns_of_alpaca(row: Mapping[str, Any]) -> tuple[str, list[Turn]]:
    texts = [row["instruction"], *([row["input"]] if row.get("input") else [])]
    for text in texts:
        if not isinstance(text, str):
            raise TrainingDataError(
                f"an instruction or input of type {type(text).__name__} was given",
                expected="a text",
            )
    return "turns", [*_history(row), *_pair("\n".join(filter(None, texts)), row["output"])]


def _turns_of_pairs(row: Mapping[str, Any]) -> tuple[str, list[Turn]]:
    turns: list[Turn] = []
    for at, pair in enumerate(_as_list(row["conversation"], "conversation")):
        if not isinstance(pair, Mapping) or pair.keys() != {"human", "assistant"}:
            raise TrainingDataError(
                f"a turn of type {type(pair).__name__} was given",
                expected='{"human": ..., "assistant": ...}',
                where=f"conversation[{at}]",
            )
        turns += _pair(pair["human"], pair["assistant"])
    return "conversation", turns


def _turns_of_completion(row: Mapping[str, Any]) -> tuple[str, list[Turn]]:
    if isinstance(row["prompt"], str) or isinstance(row["completion"], str):
        raise TrainingDataError(
            "prompt or completion is a text, which TRL continues without a chat template",
            expected="messages in both",
            hint="columns={'prompt': 'query', 'completion': 'response'}, if they are a question "
            "and its answer",
        )
    prompt = [replace(turn, is_learned=False) for turn in read_turns(row["prompt"], "prompt")]
    return "turns", [*prompt, *read_turns(row["completion"], "completion")]


_TURNS: Mapping[int, Callable[[Mapping[str, Any]], tuple[str, list[Turn]]]] = {
    id(MESSAGES): _turns_of_messages,
    id(CONVERSATIONS): _turns_of_conversations,
    id(QUERY): _turns_of_query,
    id(ALPACA): _turns_of_alpaca,
    id(PAIRS): _turns_of_pairs,
    id(COMPLETION): _turns_of_completion,
}


def _pair(question: Any, answer: Any) -> list[Turn]:
    return [Turn("user", question), Turn("assistant", answer)]


def _history(row: Mapping[str, Any]) -> list[Turn]:
    turns: list[Turn] = []
    for at, pair in enumerate(_as_list(row.get("history") or (), "history")):
        if not is_list(pair) or len(pair) != 2:
            raise TrainingDataError(
                f"a turn of the history is {shown(pair)}",
                expected="[question, answer]",
                where=f"history[{at}]",
            )
        turns += _pair(*pair)
    return turns


def _as_list(value: Any, key: str) -> Iterable[Any]:
    if not is_list(value):
        raise TrainingDataError(
            f"{key} of type {type(value).__name__} was given", expected="a list"
        )
    return value  # type: ignore[no-any-return]


def _media_of(row: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The sources of pictures and films beside the conversation of a row."""
    media: dict[str, list[Any]] = {"image": [], "video": []}
    for key, kind in MEDIA_KEYS.items():
        value = row.get(key)
        if value is None or (isinstance(value, str) and not value):
            continue
        if media[kind]:
            raise TrainingDataError(
                f"{kind} and {kind}s were given", expected="one of them, a name or a list"
            )
        media[kind] = list(value) if is_list(value) else [value]
    for kind, sources in media.items():
        for at, source in enumerate(sources):
            if source is None or source == "":
                raise TrainingDataError(
                    f"{kind} {at} has no name", expected="a path, URL, bytes or picture"
                )
    return media


def _offer_of(tools: Any) -> ToolOffer | None:
    """The tools of a row, in the form of OpenAI's API; None if it offers none."""
    if not is_set(tools) or tools == "":
        return None
    given = tools
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError) as error:
            raise TrainingDataError(
                f"tools are a text that is no JSON ({error})", expected="a JSON list of tools"
            ) from error
    offered = []
    for at, tool in enumerate(given if is_list(given) else [given]):
        if not isinstance(tool, Mapping) or not isinstance(tool.get("function", tool), Mapping):
            raise TrainingDataError(
                f"a tool of type {type(tool).__name__} was given",
                expected='{"type": "function", "function": {"name": ..., "parameters": ...}}',
                where=f"tools[{at}]",
            )
        is_whole = "function" in tool
        whole: Any = tool if is_whole else {"type": "function", "function": dict(tool)}
        if not isinstance(whole["function"].get("name"), str):
            raise TrainingDataError("a tool has no name", expected="a name", where=f"tools[{at}]")
        offered.append(json.dumps(whole, ensure_ascii=False))
    return ToolOffer(tuple(offered)) if offered else None
