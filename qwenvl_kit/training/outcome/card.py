"""The card of an adapter: the README.md of its folder, as the Hugging Face hub shows it.

Names come from files and from users. Each is shown as code within one line, so that none can add
to the page or to its metadata.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, Union

from qwenvl_kit.checkpoints.sources import is_hub_id
from qwenvl_kit.options import PixelBudget
from qwenvl_kit.safe_text import escaped

_LONGEST = 300

Setting: TypeAlias = Union[str, int, float, bool, None]


@dataclass(frozen=True)
class Evaluation:
    """The losses at one moment of a training, in nats a token.

    Attributes:
        step: the number of steps of the optimiser before it.
        training: the loss of the examples that are trained on; None if it was not measured.
        validation: the loss of examples that were kept back; None if there are none.
    """

    step: int
    training: float | None = None
    validation: float | None = None


@dataclass(frozen=True)
class AdapterRecord:
    """The record of a training that a card is made from.

    Attributes:
        base_model: the hub id or folder of the base model; None for the model of the package.
        revision: its commit; None for a folder.
        budget: the budget of pictures.
        method: the method in a few words, such as "lora".
        settings: the settings of the training by their names, such as `learning_rate`.
        data: the names of the training files. Only their last parts are shown.
        data_digest: the digest of the training data; empty if it is not known.
        num_examples: the examples that were trained on.
        num_validation: the examples that were kept back.
        evaluations: the losses, in the order of their steps.
        seconds: the time that the training took.
        hardware: the processor or device in words; empty if it is not known.
        versions: the versions of the packages by their names.
        license: the licence as the hub names it, such as "apache-2.0"; None leaves it out.
    """

    base_model: str | None
    revision: str | None = None
    budget: PixelBudget = field(default_factory=PixelBudget)
    method: str = "lora"
    settings: Mapping[str, Setting] = field(default_factory=dict)
    data: Sequence[str] = ()
    data_digest: str = ""
    num_examples: int = 0
    num_validation: int = 0
    evaluations: Sequence[Evaluation] = ()
    seconds: float = 0.0
    hardware: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    license: str | None = None


def adapter_card(record: AdapterRecord) -> str:
    """Return the card of an adapter as Markdown with YAML front matter.

        card = adapter_card(AdapterRecord("Qwen/Qwen2-VL-2B-Instruct", "e1a9c4b0", num_examples=80))
        Path("out/adapter/README.md").write_text(card, encoding="utf-8")

    Metadata are those of the hub: https://huggingface.co/docs/hub/model-cards. A base model that
    lies in a folder is left out of them, because the hub takes ids only, and folders are nobody's
    business.

    Args:
        record: the record of the training.
    """
    return "\n".join((*_metadata(record), "", *_page(record))) + "\n"


def _metadata(record: AdapterRecord) -> Iterator[str]:
    tags = ["qwenvl-kit", "lora", "vision-language"]
    yield "---"
    if _is_of_the_hub(record.base_model, record.revision):
        yield f"base_model: {_yaml(str(record.base_model))}"
        yield "base_model_relation: adapter"
        tags.insert(0, f"base_model:adapter:{record.base_model}")
    yield "library_name: peft"
    yield "pipeline_tag: image-text-to-text"
    if record.license is not None:
        yield f"license: {_yaml(record.license)}"
    yield "tags:"
    yield from (f"- {_yaml(tag)}" for tag in tags)
    yield "---"


def _page(record: AdapterRecord) -> Iterator[str]:
    name = _name(record)
    yield f"# Adapter of {_code(name)}"
    yield ""
    yield "This LoRA adapter was trained by `qwenvl_kit`. Pictures and prompts are prepared in"
    yield "service as they were in training: `qwenvl_kit.json` says with which budget and chat"
    yield "template, and loading compares them."
    yield ""
    yield from _loading(record.base_model, name)
    yield from _table("Training", _facts(record, name))
    yield from _table("Settings", {key: _shown(value) for key, value in record.settings.items()})
    yield from _losses(record.evaluations)
    yield from _table("Versions", {key: _shown(value) for key, value in record.versions.items()})


def _loading(base: str | None, name: str) -> Iterator[str]:
    model = "" if base is None else f"{_python(name if name == base else f'path/to/{name}')}, "
    yield "```python"
    yield "from qwenvl_kit import VisionChat"
    yield f'chat = VisionChat.from_pretrained({model}adapter="folder/of/this/file")'
    yield 'print(chat.ask("What is in this picture?", "photo.jpg").text)'
    yield "```"


def _python(text: str) -> str:
    """A text as a literal of Python; JSON's texts are such."""
    return json.dumps(_one_line(text), ensure_ascii=False)


def _facts(record: AdapterRecord, name: str) -> Mapping[str, str]:
    limits = {key: limit for key, limit in vars(record.budget).items() if limit is not None}
    budget = ", ".join(f"{key}={limit}" for key, limit in limits.items())
    files = ", ".join(_code(_last(path), in_table=True) for path in record.data)
    facts = {
        "base model": _code(name, in_table=True),
        "revision": _shown(record.revision),
        "method": _shown(record.method),
        "budget of pictures": _code(f"PixelBudget({budget})" if budget else "native"),
        "examples": str(record.num_examples),
        "examples kept back": str(record.num_validation) if record.num_validation else "",
        "training files": files,
        "digest of the data": _shown(record.data_digest),
        "time": _duration(record.seconds) if record.seconds else "",
        "hardware": _shown(record.hardware),
    }
    return {key: value for key, value in facts.items() if value}


def _table(title: str, rows: Mapping[str, str]) -> Iterator[str]:
    if not rows:
        return
    yield from ("", f"## {title}", "", "| | |", "|---|---|")
    yield from (f"| {_code(key, in_table=True)} | {value} |" for key, value in rows.items())


def _losses(evaluations: Sequence[Evaluation]) -> Iterator[str]:
    if not evaluations:
        return
    yield from ("", "## Losses", "", "The mean of the negative log-probability of a token of an")
    yield from ("answer, in nats.", "", "| step | training | validation |", "|---|---|---|")
    for at in evaluations:
        yield f"| {at.step} | {_loss(at.training)} | {_loss(at.validation)} |"


def _loss(loss: float | None) -> str:
    if loss is None:
        return ""
    return f"{loss:.4f}" if math.isfinite(loss) else "not a number"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _shown(value: Setting) -> str:
    """A value in a cell of a table; empty for None and for an empty text."""
    return "" if value is None or value == "" else _code(str(value), in_table=True)


def _code(text: str, *, in_table: bool = False) -> str:
    """A text as code of Markdown: nothing in it is read as Markdown or HTML.

    The marks around it are longer than any within it (CommonMark 0.31, 6.1). A cell of a table ends
    at a bar, even within code.
    """
    line = _one_line(text) or " "
    fence = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    blank = " " if "`" in (line[0], line[-1]) else ""
    line = line.replace("|", "\\|") if in_table else line
    return f"{fence}{blank}{line}{blank}{fence}"


def _yaml(text: str) -> str:
    """A text as a scalar of YAML: JSON's texts are such (YAML 1.2, 1.3)."""
    said = json.dumps(_one_line(text), ensure_ascii=False)
    return re.sub("[\ufffe\uffff]", lambda found: f"\\u{ord(found[0]):04x}", said)


def _one_line(text: str) -> str:
    line = escaped(text)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def _name(record: AdapterRecord) -> str:
    """The id of the base model, or the last part of its folder."""
    base = record.base_model
    if base is None:
        return "the model of qwenvl_kit"
    return base if _is_of_the_hub(base, record.revision) else _last(base)


def _is_of_the_hub(base: str | None, revision: str | None) -> bool:
    """True for an id of a repository; a folder may look like one, but has no revision."""
    return base is not None and revision is not None and is_hub_id(base)


def _last(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2] or "a folder"
