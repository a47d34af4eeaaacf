"""The card of an adapter is one that the hub reads, whatever names a training met."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qwenvl_kit import PixelBudget
from qwenvl_kit.checkpoints.sources import is_hub_id
from qwenvl_kit.training import AdapterRecord, Evaluation, adapter_card

RECORD = AdapterRecord(
    "Qwen/Qwen2-VL-2B-Instruct",
    "e1a9c4b0",
    budget=PixelBudget(512, 1024),
    method="dora",
    settings={"learning_rate": 1e-4, "epochs": 2, "packing": False, "max_tokens": None},
    data=("/home/alice/private/train.jsonl",),
    data_digest="ab12",
    num_examples=80,
    num_validation=4,
    evaluations=(Evaluation(10, 1.5, 1.25), Evaluation(20, float("nan"))),
    seconds=3725.0,
    hardware="1 core of an AMD EPYC",
    versions={"torch": "2.15.0", "peft": "0.21.2"},
    license="apache-2.0",
)


def metadata(card: str) -> dict[str, Any]:
    _, front, _ = card.split("---\n", 2)
    found = yaml.safe_load(front)
    assert isinstance(found, dict)
    return found


def test_the_hub_finds_base_model_library_and_tags() -> None:
    found = metadata(adapter_card(RECORD))
    assert found["base_model"] == "Qwen/Qwen2-VL-2B-Instruct"
    assert found["library_name"] == "peft"
    assert found["license"] == "apache-2.0"
    assert found["pipeline_tag"] == "image-text-to-text"
    assert "base_model:adapter:Qwen/Qwen2-VL-2B-Instruct" in found["tags"]


def test_the_hub_s_own_reader_takes_the_card() -> None:
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(adapter_card(RECORD))
    assert card.data.base_model == "Qwen/Qwen2-VL-2B-Instruct"
    assert card.data.library_name == "peft"


def test_a_reader_sees_data_budget_settings_losses_and_versions() -> None:
    card = adapter_card(RECORD)
    for text in ("`ab12`", "`PixelBudget(min_tokens=512, max_tokens=1024)`", "| examples", "80"):
        assert text.strip("| ") in card
    assert "| 10 | 1.5000 | 1.2500 |" in card
    assert "| 20 | not a number |  |" in card
    assert "| `learning_rate` | `0.0001` |" in card
    assert "1 h 2 min" in card
    assert "| `torch` | `2.15.0` |" in card


@pytest.mark.parametrize("base", ["/home/alice/models/base", "models/base", None])
def test_folders_of_somebody_s_machine_are_not_published(base: str | None) -> None:
    card = adapter_card(replace(RECORD, base_model=base, revision=None))
    assert "base_model" not in metadata(card)
    assert "alice" not in card
    assert "train.jsonl" in card
    assert ("path/to/base" in card) is (base is not None)


def code_of(card: str) -> str:
    (code,) = re.findall(r"^```python\n(.*?)^```$", card, re.DOTALL | re.MULTILINE)
    return str(code)


def test_three_lines_load_the_adapter() -> None:
    lines = code_of(adapter_card(RECORD)).splitlines()
    assert len(lines) == 3
    assert 'from_pretrained("Qwen/Qwen2-VL-2B-Instruct", adapter=' in lines[1]


HOSTILE = [
    "a\n---\nlicense: mit",
    '"]\ntags: [evil]',
    "```\n# Title\n<script>alert(1)</script>",
    "`<img src=x onerror=alert(1)>`",
    "a | b | c",
    "``` ` ``",
    "\u2028\u2029\x85\ufeff\x00\x7f\ud800\uffff",
    "\\u0022: {x}",
    "🔴 模型",
    "*&!%@#{}[],",
    "",
    " ",
    "x" * 10_000,
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_add_nothing_to_page_or_metadata(name: str) -> None:
    assert_harmless(name)


@settings(max_examples=60, deadline=None)
@given(st.text(st.one_of(st.characters(), st.sampled_from("`|\n-#<>\"'\\:\r"))))
def test_any_name_adds_nothing_to_page_or_metadata(name: str) -> None:
    assume(not is_hub_id(name))  # which is metadata
    assert_harmless(name)


def assert_harmless(name: str) -> None:
    record = replace(
        RECORD,
        base_model=name,
        data=(name,),
        hardware=name,
        settings={name: name},
        versions={name: name},
        license=name,
        method=name,
        data_digest=name,
    )
    card = adapter_card(record)
    plain = adapter_card(replace(record, base_model="x"))
    found = metadata(card)
    assert found.keys() == {"library_name", "pipeline_tag", "license", "tags"}
    assert found["tags"] == metadata(plain)["tags"]
    body = card.split("---\n", 2)[2]
    assert [line for line in body.splitlines() if line.startswith("#")][1:] == [
        *("## Training", "## Settings", "## Losses", "## Versions")
    ]
    ast.parse(code_of(card))
    for line in body.splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) in (3, 4)
        outside = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", line)
        if not line.startswith("chat ="):
            assert "<" not in outside, line
