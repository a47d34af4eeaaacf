"""Required small files of a checkpoint: vocabulary, chat template, and picture settings."""

from __future__ import annotations

from pathlib import Path

from qwenvl_kit.checkpoints.settings import read_json
from qwenvl_kit.families import Family


def missing_files(folder: Path, family: Family) -> tuple[str, ...]:
    """Return the parts that a folder lacks: vocabulary, chat template or picture settings.

    transformers does not always tell: from merges.txt alone it builds a tokenizer of one token,
    which encodes each text to nothing.

    Args:
        folder: folder of the checkpoint.
        family: family of the checkpoint.

    Returns:
        A text for each missing part, which names the files that would provide it.

    Raises:
        CheckpointError: an existing file cannot be read.
    """
    lacking = (_vocabulary(folder, family), _chat_template(folder), _picture_settings(folder))
    return tuple(entry for entry in lacking if entry is not None)


def _vocabulary(folder: Path, family: Family) -> str | None:
    if _has(folder, "tokenizer.json"):
        return None
    if family.needs_tokenizer_json:
        return "the vocabulary: tokenizer.json (vocab.json is not enough for this family)"
    absent = [name for name in ("vocab.json", "merges.txt") if not _has(folder, name)]
    if len(absent) == 1:
        return f"the vocabulary: {absent[0]}, or tokenizer.json"
    return "the vocabulary: tokenizer.json, or vocab.json with merges.txt" if absent else None


def _chat_template(folder: Path) -> str | None:
    what = "the chat template: chat_template.jinja or chat_template.json"
    if _has(folder, "chat_template.json"):  # transformers looks there first
        is_there = _names(folder, "chat_template.json", "chat_template")
        return None if is_there else f"{what} (which has no entry chat_template)"
    if _has(folder, "chat_template.jinja"):
        return None
    if _names(folder, "processor_config.json", "chat_template"):
        return None
    if not _names(folder, "tokenizer_config.json", "chat_template"):
        return what
    named = _template_names(read_json(folder / "tokenizer_config.json")["chat_template"])
    if named is None or "default" in named:
        return None
    return f"{what} (tokenizer_config.json names {', '.join(named)}, and none 'default')"


def _template_names(templates: object) -> list[str] | None:
    """The names of several templates; None for a single template without a name."""
    if not isinstance(templates, list):
        return None
    return [str(each.get("name")) for each in templates if isinstance(each, dict)]


def _picture_settings(folder: Path) -> str | None:
    # If a processor is saved whole, processor_config.json holds the settings of the other file.
    if _has(folder, "preprocessor_config.json"):
        return None
    if _names(folder, "processor_config.json", "image_processor"):
        return None
    return "the settings for pictures: preprocessor_config.json"


def _has(folder: Path, name: str) -> bool:
    return (folder / name).is_file()


def _names(folder: Path, name: str, key: str) -> bool:
    return _has(folder, name) and bool(read_json(folder / name).get(key))
