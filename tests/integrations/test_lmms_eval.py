"""The kit as a model of lmms-eval, on a stand-in for its interface."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import PIL.Image
import PIL.ImageDraw
import pytest

from qwenvl_kit import ImagePart, Sampling, TextPart, VideoPart, VisionChat
from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import (
    EvaluationError,
    MissingPackageError,
    QwenVLKitWarning,
    UnsupportedFeatureError,
)
from qwenvl_kit.integrations.lmms_eval_requests import FilmOptions, sampling_of, user_turn
from tests.integrations.lmms_stand_in import (
    MODULE,
    Instance,
    replaced,
    standing_in,
    unwrap_generation_output,
)

GREEDY = {"max_new_tokens": 8, "temperature": 0, "do_sample": False, "num_beams": 1, "top_p": 1.0}


@pytest.fixture(autouse=True)
def kit() -> Iterator[ModuleType]:
    with standing_in() as module:
        yield module


def picture(colour: str) -> PIL.Image.Image:
    image = PIL.Image.new("RGB", (56, 56), "white")
    PIL.ImageDraw.Draw(image).ellipse((8, 8, 48, 48), fill=colour)
    return image


DOCS = [{"colour": colour, "question": f"Which colour? {colour}"} for colour in ("red", "blue")]


def to_messages(doc: dict[str, str]) -> list[dict[str, Any]]:
    content = [
        {"type": "image", "url": picture(doc["colour"])},
        {"type": "text", "text": doc["question"]},
    ]
    return [{"role": "user", "content": content}]


def visuals(doc: dict[str, str]) -> list[PIL.Image.Image]:
    return [picture(doc["colour"])]


def chat_instance(
    doc_id: int, settings: Any = None, text: str = "", to: Any = to_messages
) -> Instance:
    """An instance as `ConfigurableMessagesTask.construct_requests` makes it."""
    arguments = (text, to, settings or GREEDY, doc_id, "toy", "test")
    return Instance("generate_until", arguments, 0)


def simple_instance(doc_id: int, settings: Any = None) -> Instance:
    """An instance as `ConfigurableTask.construct_requests` makes it."""
    text = DOCS[doc_id]["question"]
    return Instance("generate_until", (text, settings or GREEDY, visuals, doc_id, "toy", "test"), 0)


def last_word(request: BackendRequest) -> str:
    return request.messages[-1].text.split()[-1]


def scripted(answer: Any = last_word) -> tuple[VisionChat, ScriptedBackend]:
    backend = ScriptedBackend(answer)
    return VisionChat(backend), backend


def model(kit: ModuleType, chat: VisionChat, kind: str = "ChatModel", **options: Any) -> Any:
    made = getattr(kit, kind)(chat=chat, **options)
    made.task_dict = {"toy": {"test": DOCS}}
    return made


def test_the_registry_finds_both_classes(kit: ModuleType) -> None:
    manifest = kit.manifest()
    assert manifest.model_id == "qwenvl_kit"
    for path, is_simple in ((manifest.chat_class_path, False), (manifest.simple_class_path, True)):
        module, _, name = path.rpartition(".")
        assert module == MODULE
        assert getattr(kit, name).is_simple is is_simple


@pytest.mark.parametrize("kind", ["ChatModel", "SimpleModel"])
def test_requests_are_answered_in_their_order(kit: ModuleType, kind: str) -> None:
    chat, backend = scripted()
    made = chat_instance if kind == "ChatModel" else simple_instance
    found = model(kit, chat, kind).generate_until([made(1), made(0)])
    assert [each.text for each in found] == ["blue", "red"]
    assert found[0].token_counts.output_tokens == 1
    assert found[0].token_counts.input_tokens > 3
    (message,) = backend.requests[0].messages
    assert isinstance(message.parts[0], ImagePart)
    assert backend.requests[0].sampling.max_new_tokens == 8


def test_a_failure_is_never_scored_as_an_answer(kit: ModuleType) -> None:
    def answer(request: BackendRequest) -> str:
        if "blue" in request.messages[-1].text:
            raise ValueError("the model broke")
        return "red"

    chat, _ = scripted(answer)
    with pytest.raises(EvaluationError, match=r"1 of 2 requests failed; the first: .*broke"):
        model(kit, chat).generate_until([chat_instance(0), chat_instance(1)])


def test_a_picture_that_cannot_be_opened_is_told(kit: ModuleType, tmp_path: Path) -> None:
    chat, _ = scripted()
    content = [{"type": "image", "url": str(tmp_path / "none.png")}, {"type": "text", "text": "?"}]
    gone = chat_instance(0, to=lambda doc: [{"role": "user", "content": content}])
    with pytest.raises(EvaluationError, match=r"1 of 1 requests failed.*none\.png"):
        model(kit, chat).generate_until([gone])


def test_with_a_journal_a_later_run_goes_on(kit: ModuleType, tmp_path: Path) -> None:
    chat, backend = scripted()
    journal = str(tmp_path / "run.jsonl")
    model(kit, chat, journal=journal).generate_until([chat_instance(0)])
    found = model(kit, chat, journal=journal).generate_until([chat_instance(0), chat_instance(1)])
    assert [each.text for each in found] == ["red", "blue"]
    assert len(backend.requests) == 2


def test_another_text_or_setting_is_another_question_to_a_journal(
    kit: ModuleType, tmp_path: Path
) -> None:
    # A task of several steps asks about one row several times.
    chat, backend = scripted()
    made = model(kit, chat, journal=str(tmp_path / "run.jsonl"))
    made.generate_until([chat_instance(0, text="step 1")])
    made.generate_until([chat_instance(0, text="step 2")])
    made.generate_until([chat_instance(0, {**GREEDY, "max_new_tokens": 9}, text="step 2")])
    assert len(backend.requests) == 3


def test_a_request_that_is_repeated_is_asked_anew(kit: ModuleType, tmp_path: Path) -> None:
    chat, backend = scripted()
    repeated = chat_instance(0, {"temperature": 0.7, "do_sample": True})
    made = model(kit, chat, journal=str(tmp_path / "run.jsonl"))
    assert len(made.generate_until([repeated] * 3)) == 3
    assert len(backend.requests) == 3


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, Sampling(max_new_tokens=128, temperature=0.0)),
        (GREEDY, Sampling(max_new_tokens=8, temperature=0.0)),
        ({"until": ["\n\n"]}, Sampling(max_new_tokens=128, temperature=0.0)),
        (
            {"until": "ASSISTANT:"},
            Sampling(max_new_tokens=128, temperature=0.0, stop=("ASSISTANT:",)),
        ),
        ({"until": ["a", "", "\n\n"]}, Sampling(max_new_tokens=128, temperature=0.0, stop=("a",))),
        (
            {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "do_sample": True},
            Sampling(max_new_tokens=128, temperature=0.7, top_p=0.8, top_k=20),
        ),
        ({"temperature": 0.7, "do_sample": False}, Sampling(max_new_tokens=128, temperature=0.0)),
        ({"temperature": None, "top_p": None}, Sampling(max_new_tokens=128, temperature=0.0)),
        ({"image_aspect_ratio": "pad"}, Sampling(max_new_tokens=128, temperature=0.0)),
    ],
)
def test_settings_of_tasks_are_taken_over(settings: dict[str, Any], expected: Sampling) -> None:
    assert sampling_of(settings, 128) == expected


def test_settings_that_cannot_be_followed_are_told() -> None:
    with pytest.raises(UnsupportedFeatureError, match="num_beams=4"):
        sampling_of({"num_beams": 4}, 128)
    with pytest.warns(QwenVLKitWarning, match="not used: length_penalty"):
        sampling_of({"length_penalty": 2.0}, 128)


def _film(visual: Any, **options: Any) -> Any:
    (message,) = user_turn(visual, "What?", FilmOptions(**options))
    *media, text = message.parts
    assert text == TextPart("What?")
    return media


@pytest.mark.parametrize(
    ("visual", "expected"),
    [
        (["a.mp4"], [VideoPart("a.mp4", fps=1.0)]),
        ("a.webm", [VideoPart("a.webm", fps=1.0)]),
        (["a.JPG", "b.mp4"], [ImagePart("a.JPG"), VideoPart("b.mp4", fps=1.0)]),
        (
            [{"url": "a.mp4", "video_start": 1.5, "video_end": 4}],
            [VideoPart("a.mp4", fps=1.0, start_seconds=1.5, end_seconds=4)],
        ),
        ([{"type": "video", "path": "a.mp4"}], [VideoPart("a.mp4", fps=1.0)]),
        ([], []),
        (None, []),
    ],
)
def test_what_tasks_give_is_told_apart_by_its_form(visual: Any, expected: list[Any]) -> None:
    assert _film(visual, fps=1.0) == expected


@pytest.mark.parametrize(
    "visual",
    ["a.wav", {"type": "audio", "url": "a.wav"}, {"array": [0.0], "sampling_rate": 16000}],
)
def test_sound_is_refused(visual: Any) -> None:
    with pytest.raises(UnsupportedFeatureError, match=r"asks about (sound|audio)"):
        _film([visual])


def test_films_of_conversations_are_shown_as_the_options_say(kit: ModuleType) -> None:
    from qwenvl_kit.integrations.lmms_eval_requests import messages_of

    content = [{"type": "video", "url": "a.mp4", "start_time": 2.0}, {"type": "text", "text": "?"}]
    turns = [{"role": "system", "content": "Be short."}, {"role": "user", "content": content}]
    first, second = messages_of(turns, FilmOptions(num_frames=8))
    assert first.text == "Be short."
    assert second.parts[0] == VideoPart("a.mp4", num_frames=8, start_seconds=2.0)


def likelihood(doc_id: int, answer: Any) -> Instance:
    """An instance of a task of output_type multiple_choice; lmms-eval puts a blank first."""
    arguments = ("What colour is the circle?", answer, visuals, doc_id, "toy", "test")
    return Instance("loglikelihood", arguments, 0)


def losses_of(kit: ModuleType, chat: VisionChat, asked: list[Instance]) -> list[Any]:
    """What a task gets: lmms-eval's evaluator takes each output apart first."""
    found = model(kit, chat, "SimpleModel").loglikelihood(asked)
    return [unwrap_generation_output(each)[0] for each in found]


@pytest.fixture(scope="module")
def embedded() -> Iterator[VisionChat]:
    with VisionChat.from_pretrained() as chat:
        yield chat


def test_the_least_loss_is_that_of_the_likeliest_answer(
    kit: ModuleType, embedded: VisionChat
) -> None:
    answers = [" red", " blue", " green"]
    asked = [likelihood(doc_id, answer) for doc_id in (0, 1) for answer in answers]
    found = losses_of(kit, embedded, asked)
    # lmms-eval takes the argmin (lmms_eval/api/task.py, `process_results`), not the argmax.
    for at, expected in ((0, " red"), (3, " blue")):
        losses = [loss for loss, _ in found[at : at + 3]]
        assert all(loss >= 0 for loss in losses)
        assert answers[losses.index(min(losses))] == expected
    assert sum(is_written for _, is_written in found) <= 2


def test_losses_are_means_over_the_tokens_of_an_answer(
    kit: ModuleType, embedded: VisionChat
) -> None:
    ((loss, _),) = losses_of(kit, embedded, [likelihood(0, lambda doc: "red")])
    messages = user_turn(visuals(DOCS[0]), "What colour is the circle?", FilmOptions())
    ((reply,),) = embedded.score([messages], ["red"])
    assert loss == pytest.approx(-reply.logprob / len(reply.scores), rel=1e-4)
    assert math.isfinite(loss)


def test_pairs_come_through_an_evaluator_that_keeps_them(
    kit: ModuleType, embedded: VisionChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit, "unwrap_generation_output", lambda output: (output, None))
    ((loss, is_written),) = model(kit, embedded, "SimpleModel").loglikelihood(
        [likelihood(0, "red")]
    )
    assert isinstance(loss, float)
    assert isinstance(is_written, bool)


def test_an_answer_that_the_model_writes_is_told(kit: ModuleType, embedded: VisionChat) -> None:
    messages = user_turn(visuals(DOCS[0]), "What colour is the circle?", FilmOptions())
    written = embedded.ask(messages, sampling=Sampling(max_new_tokens=20)).text
    asked = [likelihood(0, f" {written}"), likelihood(0, " something else")]
    found = losses_of(kit, embedded, asked)
    assert [is_written for _, is_written in found] == [True, False]


def test_probabilities_without_a_question_are_refused(kit: ModuleType) -> None:
    chat, _ = scripted()
    with pytest.raises(UnsupportedFeatureError, match="acc_mutual_info"):
        model(kit, chat, "SimpleModel").loglikelihood([Instance("loglikelihood", ("", "red"), 0)])


def test_tasks_of_several_rounds_are_refused(kit: ModuleType) -> None:
    chat, _ = scripted()
    with pytest.raises(UnsupportedFeatureError, match="several rounds"):
        model(kit, chat).generate_until_multi_round([chat_instance(0)])


def test_several_processes_are_refused(kit: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UnsupportedFeatureError, match="WORLD_SIZE=2"):
        kit.ChatModel(chat=scripted()[0])


def test_arguments_of_the_command_line_are_taken(kit: ModuleType) -> None:
    made = kit.ChatModel.create_from_arg_string(
        "backend=local,budget=quick", {"batch_size": 1, "max_batch_size": 4, "device": "cpu"}
    )
    made.task_dict = {"toy": {"test": DOCS}}
    assert made.generate_until([chat_instance(0)])[0].text
    made.clean()
    assert made.is_cleaned


def test_a_chat_that_was_given_stays_open(kit: ModuleType) -> None:
    chat, _ = scripted()
    made = model(kit, chat)
    made.clean()
    assert str(chat.ask("Which colour? red")) == "red"


def test_an_unknown_backend_is_refused(kit: ModuleType) -> None:
    with pytest.raises(UnsupportedFeatureError, match="backend='tpu'"):
        kit.ChatModel("a/b", backend="tpu")


def test_without_lmms_eval_the_command_that_installs_it_is_told() -> None:
    import importlib

    missing = {"lmms_eval": None, "lmms_eval.api": None, "lmms_eval.api.instance": None}
    with replaced({**missing, MODULE: None}):
        sys.modules["lmms_eval"] = None  # type: ignore[assignment]  # as if it were not installed
        with pytest.raises(MissingPackageError, match="pip install lmms-eval"):
            importlib.import_module(MODULE)
