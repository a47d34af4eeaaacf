"""A model thinks where it can be told to, and only its answer is constrained to a form."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from qwenvl_kit import Message, Sampling, VisionChat
from qwenvl_kit.backends.local import LocalBackend, load_backend
from qwenvl_kit.backends.local.engine.grammar import GrammarCompiler
from qwenvl_kit.backends.local.engine.processed_logits import process_logits
from qwenvl_kit.backends.local.engine.sampler import SamplerSettings
from qwenvl_kit.backends.local.engine.sequence import Sequence
from qwenvl_kit.errors import UnsupportedFeatureError
from qwenvl_kit.messages.thinking_parts import ThinkingPart
from qwenvl_kit.processing.detokenizer import Vocabulary
from qwenvl_kit.structured_output.constraints import Constraint
from qwenvl_kit.testing import build_tiny_model
from tests.by_hand import ids_of

SWITCH = "{%- if enable_thinking is defined and enable_thinking %}{{- '<think>\\n' }}{%- endif %}"
ALWAYS = "{{- '<think>\\n' }}"
FEW = Sampling(max_new_tokens=6)


def chat_with(folder: Path, ending: str) -> VisionChat:
    """A tiny model whose template goes on with this."""
    build_tiny_model(folder, "qwen3_vl")
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text(encoding="utf-8").rstrip() + ending, encoding="utf-8")
    return VisionChat(load_backend(folder))


def test_a_checkpoint_that_can_be_switched_thinks_when_it_is_told_to(tmp_path: Path) -> None:
    chat = chat_with(tmp_path / "switch", SWITCH)
    plain = chat.ask("What?", sampling=FEW)
    off = chat.ask("What?", sampling=FEW, thinking=False)
    on = chat.ask("What?", sampling=FEW, thinking=True)
    assert off.usage.prompt_tokens == plain.usage.prompt_tokens < on.usage.prompt_tokens
    assert off.text == plain.text
    assert on.text == ""
    assert on.thinking == (on.raw_text or "").strip()
    assert "among the model's thoughts" in on.warnings[0]


def test_a_checkpoint_that_always_thinks_or_never_does_says_so(
    chat: VisionChat, tmp_path: Path
) -> None:
    assert chat.ask("What?", sampling=FEW, thinking=False).thinking is None
    with pytest.raises(UnsupportedFeatureError, match="never thinks"):
        chat.ask("What?", thinking=True)
    always = chat_with(tmp_path / "always", ALWAYS)
    assert always.ask("What?", sampling=FEW, thinking=True).thinking
    with pytest.raises(UnsupportedFeatureError, match="always thinks"):
        always.ask("What?", thinking=False)


REWRITES = """\
{%- set ns = namespace(last=-1) %}
{%- for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}
{%- endfor %}
{%- for m in messages %}<|im_start|>{{ m.role }}
{% if m.reasoning_content and loop.index0 > ns.last %}<think>
{{ m.reasoning_content }}
</think>

{% endif %}{% for part in m.content %}{{ part.text }}{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
<think>
{% endif %}{# tools #}"""
"""As Qwen3.5's: what was thought before the last question is no longer in a prompt."""


@pytest.mark.parametrize("family", ["qwen3_vl", "qwen3_5"])
def test_a_prompt_whose_earlier_thoughts_are_left_out_is_answered_as_if_nothing_was_kept(
    tmp_path: Path, family: str
) -> None:
    folder = build_tiny_model(tmp_path / "rewrites", family)
    (folder / "chat_template.jinja").write_text(REWRITES, encoding="utf-8")
    said: list[Message] = [Message.user("Will it rain in Rome, in Bonn and in Ulm? " * 4)]
    rounds = [list(said)]
    for place in ("Rome", "Bonn"):
        said += [Message.assistant(ThinkingPart(f"{place} is next."), "I look."), Message.tool("!")]
        rounds.append(list(said))
    rounds.append([*said, Message.assistant(ThinkingPart("Done."), "Yes."), Message.user("Sure?")])
    keeping = VisionChat.from_pretrained(folder)
    forgetting = VisionChat.from_pretrained(folder, max_cache_bytes=0)
    for number, messages in enumerate(rounds):
        kept, fresh = (chat.ask(messages, sampling=FEW) for chat in (keeping, forgetting))
        assert ids_of(kept) == ids_of(fresh)
        # What the layers of Qwen3.5 remember of a prompt cannot be cut off where another begins.
        assert kept.usage.reused_tokens > 0 or number == 0 or family == "qwen3_5"


def test_thoughts_are_free_and_the_answer_after_them_is_constrained(backend: LocalBackend) -> None:
    tokenizer = backend.processor.tokenizer
    end_ids = frozenset({tokenizer.eos_token_id})
    grammar = GrammarCompiler(tokenizer, end_ids).compile(Constraint.from_choices(["7"]))
    vocabulary = Vocabulary(tokenizer, end_ids)
    settings = SamplerSettings(FEW, max_new_tokens=100)
    sequence = Sequence(settings, vocabulary, grammar.start(), begins_in_thought=True)
    logits = torch.zeros(len(tokenizer))
    wanted = tokenizer.encode("a", add_special_tokens=False)[0]
    logits[wanted] = 9.0

    def chosen() -> int:
        processed = process_logits([sequence], logits[None])
        return int(processed.get(0, logits).argmax())

    assert chosen() == wanted
    for token_id in tokenizer.encode("so.</think>", add_special_tokens=False):
        sequence.append(token_id, -1.0)
    seven = tokenizer.encode("7", add_special_tokens=False)[0]
    assert chosen() == seven
    sequence.append(seven, -1.0)
    assert chosen() in end_ids
