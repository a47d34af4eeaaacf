"""Notes on a checkpoint: oddities that do not prevent loading, and that a user should know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from qwenvl_kit.checkpoints.settings import Settings, read_json
from qwenvl_kit.checkpoints.tensor_names import stray_tensors
from qwenvl_kit.checkpoints.weights import TensorInfo

_OTHER_TASKS = (
    "ForSequenceClassification",
    "ForTokenClassification",
    "RewardModel",
    "ForEmbedding",
    "ValueHead",
)
_EMBEDDING_FILES = ("modules.json", "config_sentence_transformers.json", "1_Pooling")


def notes_on(
    folder: Path, settings: Settings, tensors: Sequence[TensorInfo] | None
) -> tuple[str, ...]:
    """Return the notes on a checkpoint, each a sentence without its full stop.

    Args:
        folder: folder of its small files.
        settings: its config.json.
        tensors: its tensors; None if not known.

    Raises:
        CheckpointError: an existing file cannot be read.
    """
    return (
        *_of_templates(folder),
        *_of_task(folder, settings),
        *_of_heads(settings, tensors or ()),
        *_of_code(folder, settings),
    )


def _of_templates(folder: Path) -> Iterator[str]:
    jinja, legacy = folder / "chat_template.jinja", folder / "chat_template.json"
    if not (jinja.is_file() and legacy.is_file()):
        return
    if read_json(legacy).get("chat_template") != jinja.read_text("utf-8", errors="replace"):
        yield (
            "chat_template.json and chat_template.jinja differ: the .json file is used, as in "
            "transformers; remove the one that is out of date"
        )


def _of_task(folder: Path, settings: Settings) -> Iterator[str]:
    named = settings.config.get("architectures")
    others = [
        name
        for name in (named if isinstance(named, list) else ())
        if any(task in str(name) for task in _OTHER_TASKS)
    ]
    if others:
        yield f"config.json names {others[0]}: it was trained to score or to embed, not to answer"
    there = [name for name in _EMBEDDING_FILES if (folder / name).exists()]
    if there:
        yield (
            f"it has files of sentence-transformers ({there[0]}): it was trained to embed, and its "
            "answers may be noise"
        )


def _of_heads(settings: Settings, tensors: Sequence[TensorInfo]) -> Iterator[str]:
    strays = stray_tensors(tensors)
    if strays:
        yield (
            f"{len(strays)} tensors do not belong to a {settings.family.model_class} and are left "
            f"out, {strays[0]!r} first; heads that score an answer are such tensors"
        )
    if settings.has_own_head:
        yield (
            "config.json ties the output layer to the embeddings, but the weights hold a different "
            "output layer: that one is used, as in transformers"
        )


def _of_code(folder: Path, settings: Settings) -> Iterator[str]:
    if settings.config.get("auto_map"):
        yield "config.json names code of its own (auto_map), which is never run"
