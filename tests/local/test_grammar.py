"""An answer that is constrained to a form has it, whatever the model would rather write."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Literal, Optional

import PIL.Image
import pytest
import torch

from qwenvl_kit import Request, Sampling, VisionChat
from qwenvl_kit.backends.local import LocalBackend, load_backend
from qwenvl_kit.checkpoints.packages import lacking, requirements_of
from qwenvl_kit.errors import AnswerError, ContextLengthError, SchemaError
from qwenvl_kit.families import FAMILIES
from qwenvl_kit.results import Reply
from qwenvl_kit.structured_output.constraints import Constraint
from qwenvl_kit.structured_output.target import Target
from qwenvl_kit.tasks import ask_choice, ask_number, ask_yes_no, classify, extract, stream_extract
from qwenvl_kit.testing import build_tiny_model

ROOT = Path(__file__).parents[2]
RED = PIL.Image.new("RGB", (84, 84), "red")
WILD = Sampling(max_new_tokens=120, temperature=1.0, max_cycle_tokens=None)


@dataclasses.dataclass
class Item:
    name: str
    price: float


@dataclasses.dataclass
class Receipt:
    total: float
    kind: Literal["invoice", "receipt"]
    items: list[Item]
    date: Optional[str] = None  # noqa: UP045
    paid: bool = False


@pytest.fixture(scope="module", params=FAMILIES)
def any_family(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> VisionChat:
    if lacking(requirements_of(FAMILIES[request.param])):
        pytest.skip(f"{request.param} does not run here")
    folder = tmp_path_factory.mktemp("bound") / request.param
    return VisionChat(load_backend(build_tiny_model(folder, request.param)))


def values_of(chat: VisionChat, sampling: Sampling, num_seeds: int) -> list[Receipt]:
    """What the model writes by chance, several times at once."""
    target = Target(Receipt)
    bound = Constraint.from_schema(target.answer_schema)
    requests = [
        Request.about(
            "What?", RED, constraint=bound, sampling=dataclasses.replace(sampling, seed=seed)
        )
        for seed in range(num_seeds)
    ]
    replies = chat.ask_many(requests, on_error="raise")
    assert all(reply.finish_reason == "stop" for reply in replies)
    return [target.value_of(reply.text) for reply in replies]


def test_a_random_model_of_any_family_writes_nothing_but_values_of_the_type(
    any_family: VisionChat,
) -> None:
    for receipt in values_of(any_family, WILD, 4):
        assert isinstance(receipt, Receipt)
        assert all(isinstance(item, Item) for item in receipt.items)


@pytest.mark.parametrize("max_new_tokens", [80, 100, 140])
def test_an_answer_that_grows_too_long_is_brought_to_its_end(
    chat: VisionChat, max_new_tokens: int
) -> None:
    values_of(chat, dataclasses.replace(WILD, max_new_tokens=max_new_tokens), 16)


def test_each_part_of_a_value_has_a_confidence(chat: VisionChat) -> None:
    found = extract(chat, RED, Receipt, sampling=dataclasses.replace(WILD, seed=0))
    assert {"total", "kind", "date"} <= set(found.confidences)
    known = [sure for sure in found.confidences.values() if sure is not None]
    assert len(known) == len(found.confidences)
    assert found.confidence == min(known)
    assert all(0.0 <= sure <= 1.0 for sure in known)


def test_an_answer_with_no_room_at_all_is_told_with_its_reply(chat: VisionChat) -> None:
    with pytest.raises(AnswerError, match="cut short") as caught:
        extract(chat, RED, Receipt, sampling=Sampling(max_new_tokens=3))
    assert caught.value.reply.usage.completion_tokens == 3  # type: ignore[attr-defined]


def test_requests_with_forms_and_without_run_together_as_they_would_alone(chat: VisionChat) -> None:
    bound = Constraint.from_schema(Target(Receipt).answer_schema)
    free = Sampling(max_new_tokens=60, max_cycle_tokens=None)
    requests = [
        Request.about("What?", RED, constraint=bound, sampling=free),
        Request.about("What?", RED, sampling=free),
        Request.about("Where?", RED, constraint=Constraint.from_choices(["left", "right"])),
        Request.about("How many?", RED, constraint=Constraint.from_regex("[0-9]{2}")),
    ]
    together = chat.ask_many(requests, on_error="raise", sampling=free)
    alone = [chat.ask_many([request], on_error="raise", sampling=free)[0] for request in requests]
    assert [reply.text for reply in together] == [reply.text for reply in alone]
    assert together[2].text in ("left", "right")
    assert together[3].text.isdigit()
    assert len(together[3].text) == 2


def test_scores_are_those_of_the_raw_distribution(chat: VisionChat) -> None:
    """What the form leaves of it would be sure of every brace."""
    reply = chat.ask("What?", RED, constraint=Constraint.from_choices(["xyz"]))
    assert reply.text == "xyz"
    assert reply.logprob is not None
    assert reply.logprob < -3 * math.log(2)


def test_an_answer_is_scored_as_a_forward_pass_scores_it(backend: LocalBackend) -> None:
    chat = VisionChat(backend)
    reply = chat.ask("What?", constraint=Constraint.from_choices(["yes"]))
    prompt = backend.processor.tokenizer.apply_chat_template(
        [{"role": "user", "content": "What?"}], add_generation_prompt=True, return_dict=False
    )
    ids = [score.token_id for score in reply.scores]
    with torch.no_grad():
        logits = backend.model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0]
    logprobs = logits.float().log_softmax(-1)
    by_hand = sum(
        float(logprobs[len(prompt) - 1 + at, token_id]) for at, token_id in enumerate(ids)
    )
    assert reply.logprob == pytest.approx(by_hand, abs=1e-4)


def test_labels_have_probabilities_that_sum_to_one_and_are_those_of_asking_for_each(
    chat: VisionChat,
) -> None:
    labels = ["a circle", "a square", "a", "square"]
    found = classify(chat, RED, iter(labels))
    assert list(found.probabilities) == labels
    assert sum(found.probabilities.values()) == pytest.approx(1.0)
    assert found.label == max(found.probabilities, key=found.probabilities.__getitem__)
    assert 0.0 <= found.scores.coverage <= 1.0
    alone = [
        chat.ask(
            "What is in this image?\nAnswer with one of: a circle, a square, a, square.",
            RED,
            constraint=Constraint.from_choices([label]),
        ).logprob
        for label in labels
    ]
    assert list(found.scores.logprobs) == pytest.approx(alone, abs=1e-4)


def test_truths_choices_and_numbers_are_typed(chat: VisionChat) -> None:
    truth = ask_yes_no(chat, "Is it red?", RED)
    assert bool(truth) == (truth.probability >= 0.5)
    assert truth.confidence >= 0.5
    assert ask_yes_no(chat, "是红色吗？", RED, language="zh").scores.answers[0] == "是"
    assert ask_choice(chat, "Which?", ["left", "right"], RED).label in ("left", "right")
    whole = ask_number(chat, "How many?", RED, whole=True)
    assert isinstance(whole.value, int)
    assert isinstance(ask_number(chat, "How much?", RED).value, float)
    assert 0.0 <= whole.confidence <= 1.0  # type: ignore[operator]


def test_values_stream_as_they_grow(chat: VisionChat) -> None:
    *partial, last = stream_extract(chat, RED, Receipt, sampling=dataclasses.replace(WILD, seed=1))
    assert isinstance(last, Receipt)
    assert len(partial) > 3
    assert all(isinstance(value, dict) for value in partial)
    sizes = [len(json.dumps(value)) for value in partial]
    assert sizes[0] < sizes[-1]


@pytest.mark.parametrize("labels", [[], ["one"], "ab", ["a", "a"], ["a", ""], ["a", 3], 3, None])
def test_labels_that_leave_no_choice_are_refused(chat: VisionChat, labels: object) -> None:
    with pytest.raises(SchemaError):
        classify(chat, RED, labels)  # type: ignore[arg-type]


@pytest.mark.long
def test_a_label_of_any_length_is_scored_whole_or_refused(chat: VisionChat) -> None:
    found = classify(chat, RED, ["x" * 400, "y"], prompt="Which?")
    assert len(found.scores.replies[0].text) == 400
    with pytest.raises(ContextLengthError) as caught:
        classify(chat, RED, ["y", "x" * 40_000], prompt="Which?")
    assert caught.value.where == "answers[1]"


@pytest.mark.parametrize("constraint", ["[0-9]", {"type": "string"}, 3])
def test_what_is_no_constraint_is_refused_before_anything_runs(
    chat: VisionChat, constraint: object
) -> None:
    with pytest.raises(SchemaError, match="a constraint of type"):
        chat.ask("What?", RED, constraint=constraint)  # type: ignore[arg-type]


def test_choices_may_come_from_anywhere() -> None:
    assert Constraint.from_choices(text for text in "ab") == Constraint.from_choices(["a", "b"])
    for nothing in (None, 3, "ab", iter(())):
        with pytest.raises(SchemaError, match="choices"):
            Constraint.from_choices(nothing)  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match="cannot be written as JSON"):
        Constraint.from_schema({"enum": [float("nan")]})


@pytest.mark.parametrize("pattern", ["", "(", "(?=a)b", r"(a)\1", None])
def test_an_expression_that_cannot_be_kept_is_refused(chat: VisionChat, pattern: object) -> None:
    with pytest.raises(SchemaError):
        chat.ask("What?", constraint=Constraint.from_regex(pattern))  # type: ignore[arg-type]


def test_a_schema_that_admits_nothing_is_refused(chat: VisionChat) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer", "minimum": 3, "maximum": 1}},
        "required": ["a"],
    }
    with pytest.raises(SchemaError, match="no answer can be constrained"):
        extract(chat, RED, schema)


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen3_vl"])
def test_drafts_of_prompt_lookup_keep_to_the_form(family: str, tmp_path: object) -> None:
    chat = VisionChat(load_backend(build_tiny_model(tmp_path / family, family)))  # type: ignore[operator]
    bound = Constraint.from_schema(Target(Receipt).answer_schema)
    plain = Sampling(max_new_tokens=120, max_cycle_tokens=None)
    lookup = dataclasses.replace(plain, prompt_lookup_tokens=6)
    texts = {
        chat.ask("What?", RED, sampling=sampling, constraint=bound).text
        for sampling in (plain, lookup)
    }
    assert len(texts) == 1


def ids_of(reply: Reply) -> list[int]:
    return [token.token_id for token in reply.tokens or ()]


@pytest.fixture(scope="module")
def embedded() -> VisionChat:
    return VisionChat.from_pretrained(device="cpu", dtype="float32")


def test_a_form_changes_no_token_of_an_answer_that_keeps_it_anyway(embedded: VisionChat) -> None:
    picture = ROOT / "examples" / "pictures" / "receipt.png"
    fields = {"total": {"type": "number"}, "date": {"type": "string"}}
    schema = {"type": "object", "properties": fields, "required": ["total", "date"]}
    question = "Extract these fields from the image as JSON:\n- total: number\n- date: text or null"
    free = embedded.ask(question, picture)
    assert set(json.loads(free.text)) == {"total", "date"}
    bound = embedded.ask(question, picture, constraint=Constraint.from_schema(schema))
    assert ids_of(bound) == ids_of(free)
    digits = embedded.ask("What is the total?", picture)
    kept = Constraint.from_regex(r"[0-9]+\.[0-9]/?[0-9]")
    assert ids_of(embedded.ask("What is the total?", picture, constraint=kept)) == ids_of(digits)


def test_a_choice_is_spelled_as_the_tokenizer_spells_it(embedded: VisionChat) -> None:
    tokenizer = embedded._backend.processor.tokenizer
    texts = ["red circle", "red", "An invoice.", "Zürich", "(120,340)"]
    for text in texts:
        reply = embedded.ask("What?", RED, constraint=Constraint.from_choices([text]))
        assert ids_of(reply) == tokenizer.encode(text)
        assert (reply.text, reply.finish_reason) == (text, "stop")
    for seed in range(10):
        reply = embedded.ask(
            "What?",
            RED,
            constraint=Constraint.from_choices(texts),
            sampling=Sampling(temperature=5.0, seed=seed),
        )
        assert reply.text in texts


@pytest.mark.parametrize("schema", [True, False, None, [], "object", 3])
def test_what_is_no_schema_is_refused(schema: object) -> None:
    with pytest.raises(SchemaError):
        Constraint.from_schema(schema)  # type: ignore[arg-type]


def test_a_choice_with_half_a_character_is_refused() -> None:
    with pytest.raises(SchemaError) as caught:
        Constraint.from_choices(["a", "\ud800"])
    assert caught.value.where == "choices[1]"


def test_a_choice_with_a_special_token_is_refused(embedded: VisionChat) -> None:
    with pytest.raises(SchemaError, match="special token"):
        embedded.ask("What?", RED, constraint=Constraint.from_choices(["a", "b<|im_end|>"]))
