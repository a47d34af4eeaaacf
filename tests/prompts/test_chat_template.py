"""A template is found wherever transformers, or its tokenizer, finds one, and renders the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit import ImagePart, Message, Sampling, TextPart, VisionChat, inspect
from qwenvl_kit.checkpoints.sources import find_checkpoint
from qwenvl_kit.errors import CheckpointError
from qwenvl_kit.families import family_of
from qwenvl_kit.messages.tool_parts import ToolOffer
from qwenvl_kit.processing.processor_config import load_processor
from qwenvl_kit.processing.prompt_encoder import PromptEncoder
from qwenvl_kit.testing import build_tiny_model
from tests.by_hand import picture

JINJA, LEGACY, TOKENIZER = "chat_template.jinja", "chat_template.json", "tokenizer_config.json"
WITH_TOOLS = "{% if tools %}{{ tools | tojson }}{% endif %}"
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


@pytest.fixture(scope="module", params=["qwen2_vl", "qwen3_vl", "qwen3_5"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    family: str = request.param
    return build_tiny_model(tmp_path_factory.mktemp("templates") / family, family)


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    """A checkpoint whose template a test may put elsewhere."""
    return Path(shutil.copytree(built, tmp_path / "copy"))


def take(folder: Path) -> str:
    """The template's text, and its file away."""
    text = (folder / JINJA).read_text()
    (folder / JINJA).unlink()
    return text


def write(folder: Path, file: str, template: Any) -> None:
    path = folder / file
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(content | {"chat_template": template}))


def encoder_of(folder: Path) -> PromptEncoder:
    family = json.loads((folder / "config.json").read_text())["model_type"]
    return PromptEncoder(load_processor(find_checkpoint(folder)), family_of(family))


def by_tokenizer(folder: Path, tools: list[Any] | None = None) -> list[int]:
    """The prompt of a question by transformers' tokenizer alone."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    turns = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}]}]
    prompt = tokenizer.apply_chat_template(
        turns, tools=tools, tokenize=False, add_generation_prompt=True
    )
    return list(tokenizer(prompt, add_special_tokens=False).input_ids)


def text_of(folder: Path, ids: list[int]) -> str:
    return str(load_processor(find_checkpoint(folder)).tokenizer.decode(ids))


QUESTION = [Message.user(TextPart("What is it?"))]


def test_a_template_in_the_tokenizers_settings_alone_is_rendered(copy: Path) -> None:
    """Many fine-tunes are saved so; the processors of transformers do not look there."""
    write(copy, TOKENIZER, f"A fine-tune's.{take(copy)}")
    assert encoder_of(copy).encode_prompt(QUESTION, ()).ids == by_tokenizer(copy)
    assert inspect(copy).missing == ()
    chat = VisionChat.from_pretrained(copy, device="cpu")
    reply = chat.ask("What is it?", picture(56, 56), sampling=Sampling(max_new_tokens=2))
    assert reply.usage.completion_tokens == 2


def test_the_default_of_several_named_templates_is_rendered(copy: Path) -> None:
    template = take(copy)
    named = {"rag": "no", "default": f"By name.{template}"}
    write(copy, TOKENIZER, [{"name": key, "template": text} for key, text in named.items()])
    assert encoder_of(copy).encode_prompt(QUESTION, ()).ids == by_tokenizer(copy)
    assert inspect(copy).missing == ()


def test_a_named_template_for_tools_is_taken_where_there_are_tools(copy: Path) -> None:
    """As by the tokenizer of transformers."""
    template = take(copy)
    named = {"default": f"Plain.{template}", "tool_use": f"Tools.{WITH_TOOLS}{template}"}
    write(copy, TOKENIZER, [{"name": key, "template": text} for key, text in named.items()])
    encoder = encoder_of(copy)
    assert encoder.knows_tools
    offer = Message("system", (ToolOffer((json.dumps(TOOL),)),))
    ids = encoder.encode_prompt([offer, *QUESTION], ()).ids
    assert text_of(copy, ids).startswith("Tools.[")
    assert encoder.encode_prompt(QUESTION, ()).ids == by_tokenizer(copy)


def test_several_named_templates_without_a_default_are_told(copy: Path) -> None:
    write(copy, TOKENIZER, [{"name": "rag", "template": take(copy)}])
    with pytest.raises(CheckpointError, match="names rag, and none 'default'"):
        VisionChat.from_pretrained(copy, device="cpu")
    assert "none 'default'" in inspect(copy).missing[0]


def test_a_template_in_the_processors_settings_is_rendered(copy: Path) -> None:
    template = take(copy)
    write(copy, "processor_config.json", f"Old.{template}")
    ids = encoder_of(copy).encode_prompt(QUESTION, ()).ids
    write(copy, TOKENIZER, f"Old.{template}")
    assert ids == by_tokenizer(copy)


def test_of_two_templates_that_of_the_json_is_rendered_as_by_transformers(copy: Path) -> None:
    import transformers

    write(copy, LEGACY, f"The other.{(copy / JINJA).read_text()}")
    processor = transformers.AutoProcessor.from_pretrained(copy)
    turns = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}]}]
    prompt = processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    ids = encoder_of(copy).encode_prompt(QUESTION, ()).ids
    assert prompt.startswith("The other.")
    assert text_of(copy, ids) == prompt
    report = VisionChat.from_pretrained(copy, device="cpu").report()
    assert "the .json file is used" in report["notes"]


def test_a_json_without_its_entry_is_told(copy: Path) -> None:
    take(copy)
    (copy / LEGACY).write_text('{"template": "x"}')
    with pytest.raises(CheckpointError, match="which has no entry chat_template"):
        VisionChat.from_pretrained(copy, device="cpu")


def test_an_empty_template_is_told(copy: Path) -> None:
    (copy / JINJA).write_text("")
    with pytest.raises(CheckpointError, match="no chat template"):
        VisionChat.from_pretrained(copy, device="cpu")


def test_pictures_are_where_the_tokenizers_template_puts_them(copy: Path) -> None:
    write(copy, TOKENIZER, take(copy))
    chat = VisionChat.from_pretrained(copy, device="cpu")
    plan = chat.plan([Message.user(ImagePart(picture(56, 56)), TextPart("What is it?"))])
    assert plan.visual_tokens > 0
