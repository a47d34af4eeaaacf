"""Ordinary calls, never run: type checkers read them to prove that the types are complete."""

from __future__ import annotations

from pathlib import Path

from typing_extensions import assert_type

from qwenvl_kit import (
    Diagnosis,
    Failure,
    Finding,
    ImagePart,
    MediaPolicy,
    Message,
    PixelBudget,
    Plan,
    Reply,
    Request,
    RequestLike,
    Sampling,
    TextPart,
    VideoPart,
    VisionChat,
    doctor,
    inspect,
)
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.tasks import compare, describe, document_qa, read_text, translate_text_in_image


def asking() -> None:
    chat = VisionChat.from_pretrained(budget="quick", media=MediaPolicy(max_pixels=10**6))
    reply = chat.ask("What is this?", "photo.jpg", Path("other.png"), b"...")
    assert_type(reply, Reply)
    assert_type(reply.confidence, "float | None")
    assert_type(reply.usage.visual_tokens, int)
    messages = [
        Message.system("You are an art critic."),
        Message.user(ImagePart("a.jpg", budget=PixelBudget(256, 512)), TextPart("Compare."), "?"),
    ]
    chat.ask(messages, sampling=Sampling(temperature=0.7, seed=7))
    chat.ask([{"role": "user", "content": [{"type": "image", "image": "file:///a.jpg"}]}])
    assert_type(chat.plan("Which way?", VideoPart(["1.png", "2.png"], fps=2.0)), Plan)


def streaming(chat: VisionChat) -> None:
    for delta in (stream := chat.stream("Describe this.", "photo.jpg")):
        print(delta.text, end="")
    assert_type(stream.reply, Reply)


def asking_many(chat: VisionChat) -> None:
    requests: list[RequestLike] = [
        "a question",
        Request.about("What?", "a.jpg", id="1"),
        [Message.user("hello")],
    ]
    for result in chat.ask_many(requests, progress=True):
        assert_type(result, "Reply | Failure")
        print(result.text if isinstance(result, Reply) else result.error.where)
    assert_type(chat.ask_many(requests, on_error="raise"), list[Reply])


def loading() -> None:
    chat = VisionChat.from_pretrained(
        "Qwen/Qwen3-VL-8B-Instruct",
        source="modelscope",
        revision="master",
        offline=True,
        quantization="4bit",
        attention="sdpa",
        compile=False,
        adapter=Path("adapters/receipts"),
    )
    assert_type(chat.report()["dtype_reason"], str)
    assert_type(chat.adapters.load("adapters/menus", "menus"), str)
    assert_type(chat.adapters.active, "str | None")
    chat.adapters.use(None)
    assert_type(chat.self_test(), Diagnosis)
    found = inspect("Qwen/Qwen2-VL-2B-Instruct")
    assert_type(found.num_parameters, "int | None")
    assert_type(found.weight_bytes["4bit"], int)
    assert_type(doctor().problems[0], Finding)


def tasks() -> None:
    chat = VisionChat(ScriptedBackend(["yes"]))
    assert_type(describe(chat, "a.jpg").text, str)
    assert_type(compare(chat, "a.jpg", "b.jpg").confidence, "float | None")
    assert_type(read_text(chat, "a.jpg").lines, "tuple[str, ...]")
    assert_type(translate_text_in_image(chat, "menu.jpg").target_language, str)
    answers = document_qa(chat, "receipt.png", ["What is the total?"])
    assert_type(answers["What is the total?"].text, str)
    for question in answers:
        assert_type(question, str)
    assert_type(dict(answers.failures), dict[str, Failure])
