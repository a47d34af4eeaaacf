"""An argument that a call does not take is an error of the kit, with the line to write instead."""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import Callable
from types import FunctionType, SimpleNamespace
from typing import Any

import pytest

import qwenvl_kit.tasks
from qwenvl_kit import (
    Conversation,
    ImagePart,
    MediaPolicy,
    Message,
    PixelBudget,
    Request,
    Sampling,
    TextPart,
    VideoPart,
    VisionChat,
)
from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import ArgumentError, InputError, SamplingError
from qwenvl_kit.messages.message import ROLE_PARTS


def _chat() -> VisionChat:
    return VisionChat(ScriptedBackend(lambda request: "A cat."))


CHAT = _chat()
TASKS = [getattr(qwenvl_kit.tasks, name) for name in qwenvl_kit.tasks.__all__]
CALLS: dict[str, Callable[..., Any]] = {
    **{
        f"chat.{name}": getattr(CHAT, name)
        for name in sorted(dir(VisionChat))
        if not name.startswith("_") and inspect.isroutine(getattr(VisionChat, name))
        and name != "from_vllm"  # which hands on what vLLM may know
    },
    **{kind.__name__: kind for kind in (
        VisionChat, Conversation, Sampling, PixelBudget, ImagePart, VideoPart, TextPart, Message,
        Request, MediaPolicy,
    )},
    **{f"Message.{role}": getattr(Message, role) for role in ROLE_PARTS},
    "Request.about": Request.about,
    "conversation.ask": CHAT.start().ask,
    "PixelBudget.from_pixels": PixelBudget.from_pixels,
    **{task.__name__: task for task in TASKS if isinstance(task, FunctionType)},
}  # fmt: skip
HIDDEN = ("__init__", "_MediaPart")


def _call(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    made = call(*args, **kwargs)
    return asyncio.run(made) if inspect.iscoroutine(made) else made


@pytest.mark.parametrize("name", CALLS)
def test_every_entrance_refuses_a_wrong_argument_by_name(name):
    with pytest.raises(ArgumentError, match="zzz") as caught:
        _call(CALLS[name], zzz=1)
    assert caught.value.expected
    assert not any(hidden in str(caught.value) for hidden in HIDDEN)
    assert ast.parse(caught.value.hint)


@pytest.mark.parametrize("name", CALLS)
def test_every_entrance_refuses_too_many_arguments_without_naming_a_hidden_class(name):
    if not any(str(p).startswith("*") for p in inspect.signature(CALLS[name]).parameters.values()):
        with pytest.raises(ArgumentError, match="too many positional") as caught:
            _call(CALLS[name], *range(40))
        assert not any(hidden in str(caught.value) for hidden in HIDDEN)


def test_the_error_is_caught_as_input_and_as_a_type_error():
    with pytest.raises(InputError):
        CHAT.ask("?", max_new_tokens=3)
    with pytest.raises(TypeError):
        CHAT.ask("?", max_new_tokens=3)


LOADING: dict[str, tuple[dict[str, Any], str]] = {
    "device_map": ({"device_map": "auto"}, "device='auto'"),
    "a device_map of one": ({"device_map": {"": 1}}, "device='cuda:1'"),
    "a device_map of two": ({"device_map": {"a": 0, "b": "cpu"}}, "device='auto'"),
    "a balanced device_map": ({"device_map": "balanced"}, "device='auto'"),
    "torch_dtype": ({"torch_dtype": "auto"}, "dtype='auto'"),
    "load_in_4bit": ({"load_in_4bit": True}, "quantization='4bit'"),
    "load_in_8bit": ({"load_in_8bit": True}, "quantization='8bit'"),
    "load_in_4bit that is off": ({"load_in_4bit": False, "torch_dtype": "auto"}, "dtype='auto'"),
    "a config": (
        {"quantization_config": SimpleNamespace(load_in_4bit=True)}, "quantization='4bit'"
    ),
    "a dict": ({"quantization_config": {"load_in_8bit": True}}, "quantization='8bit'"),
    "attn": ({"attn_implementation": "sdpa"}, "attention='sdpa'"),
    "flash": ({"use_flash_attention_2": True}, "attention='flash_attention_2'"),
    "pixels": (
        {"min_pixels": 256, "max_pixels": 512}, "budget=PixelBudget(min_pixels=256, max_pixels=512)"
    ),
    "local_files_only": ({"local_files_only": True}, "offline=True"),
    "dtype kept": ({"dtype": "float32", "device_map": "cpu"}, "dtype='float32', device='cpu'"),
}  # fmt: skip


@pytest.mark.parametrize("name", LOADING)
def test_arguments_of_the_guides_are_translated_for_loading(name):
    given, written = LOADING[name]
    with pytest.raises(ArgumentError) as caught:
        VisionChat.from_pretrained("Qwen/Qwen2-VL-2B-Instruct", **given)
    assert caught.value.hint == f"VisionChat.from_pretrained(..., {written})"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"trust_remote_code": True}, "code of a checkpoint is never run"),
        ({"use_fast": False}, "safetensors files"),
        ({"low_cpu_mem_usage": True}, "safetensors files"),
        ({"cache_dir": "/data"}, "HF_HOME"),
        ({"token": "hf_abc"}, "HF_TOKEN"),
        ({"max_memory": {0: "8GB"}}, "as a whole"),
        ({"tensor_parallel_size": 2}, "from_vllm"),
    ],
)
def test_arguments_that_have_no_counterpart_are_left_out_with_the_reason(given, reason):
    with pytest.raises(ArgumentError) as caught:
        VisionChat.from_pretrained("Qwen/Qwen2-VL-2B-Instruct", **given)
    assert reason in caught.value.expected
    assert caught.value.hint == "VisionChat.from_pretrained(...)"
    assert "hf_abc" not in str(caught.value)


ASKING: dict[str, tuple[dict[str, Any], str]] = {
    "length": ({"max_new_tokens": 64}, "sampling=Sampling(max_new_tokens=64)"),
    "OpenAI's length": ({"max_tokens": 64}, "sampling=Sampling(max_new_tokens=64)"),
    "a misspelt length": ({"max_new_token": 64}, "sampling=Sampling(max_new_tokens=64)"),
    "several": (
        {"temperature": 0.2, "top_p": 0.9, "do_sample": True, "num_beams": 1},
        "sampling=Sampling(temperature=0.2, top_p=0.9)",
    ),
    "greedy": (
        {"do_sample": False, "temperature": 0.2, "max_new_tokens": 9},
        "sampling=Sampling(max_new_tokens=9)",
    ),
    "chance": ({"do_sample": True}, "sampling=Sampling(temperature=1.0)"),
    "narrowed": ({"top_k": 5}, "sampling=Sampling(temperature=1.0, top_k=5)"),
    "stop": ({"stop_strings": ["\n"]}, "sampling=Sampling(stop=['\\n'])"),
    "beside a sampling": (
        {"max_new_tokens": 9, "sampling": Sampling()},
        "sampling=dataclasses.replace(sampling, max_new_tokens=9)",
    ),
    "pixels": ({"max_pixels": 9}, "budget=PixelBudget(max_pixels=9)"),
    "pictures": ({"images": ["a.jpg", "b.jpg"]}, "'a.jpg', 'b.jpg'"),
    "a picture": ({"image": "a.jpg"}, "'a.jpg'"),
    "a film": ({"videos": ["c.mp4"]}, "VideoPart('c.mp4')"),
    "samples": ({"num_return_sequences": 4}, "num_samples=3"),
    "a misspelt name": ({"bugdet": "fine"}, "budget='fine'"),
    "thoughts": ({"enable_thinking": False}, "thinking=False"),
}


@pytest.mark.parametrize("name", ASKING)
def test_arguments_of_the_guides_are_translated_for_asking(name):
    given, written = ASKING[name]
    with pytest.raises(ArgumentError) as caught:
        CHAT.ask("What is this?", **given)
    assert caught.value.hint == f"chat.ask(..., {written})"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"output_scores": True, "return_dict_in_generate": True}, "log-probability"),
        ({"skip_special_tokens": True}, "reply.raw_text"),
        ({"num_beams": 4}, "no beam search"),
        ({"streamer": object()}, "chat.stream"),
        ({"fps": 2}, "VideoPart"),
    ],
)
def test_switches_that_asking_does_not_have_are_left_out_with_the_reason(given, reason):
    with pytest.raises(ArgumentError) as caught:
        CHAT.ask("What is this?", **given)
    assert reason in caught.value.expected
    assert caught.value.hint == "chat.ask(...)"


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda: CHAT.ask(messages=[]), "chat.ask(...)"),
        (lambda: CHAT.ask_many(prompts=["?"]), "chat.ask_many(requests=['?'])"),
        (lambda: CHAT.plan("?", seed=5), "chat.plan(..., sampling=Sampling(seed=5))"),
        (lambda: CHAT.stream("?", seed=5), "chat.stream(..., sampling=Sampling(seed=5))"),
        (lambda: CHAT.start().ask("?", seed=1), "conversation.ask(..., sampling=Sampling(seed=1))"),
        (lambda: CHAT.close(grace=1), "chat.close(grace_seconds=1)"),
        (lambda: CHAT.reload("m", torch_dtype="auto"), "chat.reload(..., dtype='auto')"),
        (lambda: Request("?", max_tokens=5), "Request(..., sampling=Sampling(max_new_tokens=5))"),
        (lambda: Sampling(max_tokens=5), "Sampling(max_new_tokens=5)"),
        (lambda: Sampling(do_sample=False, top_p=0.1), "Sampling()"),
        (lambda: Sampling(do_sample=True), "Sampling(temperature=1.0)"),
        (lambda: ImagePart("a", max_pixels=9), "ImagePart(..., budget=PixelBudget(max_pixels=9))"),
        (lambda: ImagePart("a", resized_height=28), "ImagePart(..., height_px=28)"),
        (lambda: VideoPart("a", nframes=8), "VideoPart(..., num_frames=8)"),
        (lambda: VideoPart("a", video_start=8), "VideoPart(..., start_seconds=8)"),
        (lambda: Message.user("a", image="b.jpg"), "Message.user(..., ImagePart('b.jpg'))"),
        (lambda: Message.user(text="a"), "Message.user('a')"),
        (
            lambda: VisionChat.connect("http://a", timeout=3, api_key="secret"),
            "VisionChat.connect(..., api_key=..., timeout_seconds=3)",
        ),
        (
            lambda: VisionChat.from_vllm("m", torch_dtype="auto", load_in_4bit=True, seed=1),
            "VisionChat.from_vllm(..., seed=1, dtype='auto', quantization='bitsandbytes')",
        ),
        (
            lambda: qwenvl_kit.tasks.describe(CHAT, "a.jpg", max_new_tokens=5),
            "describe(..., sampling=Sampling(max_new_tokens=5))",
        ),
    ],
)  # fmt: skip
def test_the_line_to_write_is_that_of_the_call(call, hint):
    with pytest.raises(ArgumentError) as caught:
        call()
    assert caught.value.hint == hint


def test_the_lines_to_write_work():
    chat = _chat()
    with pytest.raises(ArgumentError) as caught:
        chat.ask("What?", max_new_tokens=1, temperature=0.5)
    line = caught.value.hint.replace("...", "'What?'")
    assert eval(line, {"chat": chat, "Sampling": Sampling}).text == "A"


def test_long_values_and_secrets_are_not_repeated():
    with pytest.raises(ArgumentError) as caught:
        CHAT.ask("?", image="data:image/png;base64," + "A" * 999, api_key="secret", zzz="B" * 999)
    assert "AAAA" not in str(caught.value)
    assert "BBBB" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_type_error_from_within_a_call_stays_what_it_is():
    @explains_wrong_arguments
    def fails(value: int) -> int:
        return len(value)  # type: ignore[arg-type]

    with pytest.raises(TypeError, match="has no len") as caught:
        fails(3)
    assert not isinstance(caught.value, ArgumentError)


def test_signatures_docstrings_and_coroutines_are_as_they_were_written():
    assert list(inspect.signature(VisionChat.ask).parameters)[:4] == [
        "self", "prompt", "media", "sampling",
    ]  # fmt: skip
    assert "max_new_tokens" in inspect.signature(Sampling).parameters
    assert VisionChat.ask.__doc__ is not None
    assert inspect.iscoroutinefunction(CHAT.ask_async)
    assert inspect.getsourcefile(inspect.unwrap(VisionChat.plan)).endswith("chat.py")  # type: ignore[union-attr]


def test_a_wrong_argument_of_an_awaited_question_is_told_too():
    with pytest.raises(ArgumentError) as caught:
        asyncio.run(CHAT.ask_async("?", max_new_tokens=3))
    assert caught.value.hint == "chat.ask_async(..., sampling=Sampling(max_new_tokens=3))"


def test_a_wrong_value_stays_an_error_of_its_own_class():
    with pytest.raises(SamplingError):
        Sampling(max_new_tokens=0)


@pytest.mark.parametrize(
    ("call", "given", "told"),
    [
        (CHAT.ask, {"min_new_tokens": 3}, "no minimum length"),
        (CHAT.ask, {"frequency_penalty": 0.1}, "work differently"),
        (CHAT.ask, {"max_images": 1}, "limits visual tokens"),
        (CHAT.ask, {"system": "be brief"}, "Message.system"),
        (VisionChat.from_pretrained, {"temperature": 0.3}, "Sampling(temperature=0.3)"),
        (VisionChat, {"model": "x"}, "VisionChat.from_pretrained(model)"),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else None,
)
def test_what_has_no_like_here_is_not_taken_for_its_opposite_or_its_neighbour(
    call: Callable[..., Any], given: dict[str, Any], told: str
) -> None:
    with pytest.raises(ArgumentError) as caught:
        _call(call, **given)
    assert told in caught.value.expected
    assert "max_new_tokens" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "given", "line"),
    [
        (ImagePart, {"image": "a.jpg"}, "ImagePart(source='a.jpg')"),
        (VideoPart, {"video": "a.mp4"}, "VideoPart(source='a.mp4')"),
        (TextPart, {"content": "x"}, "TextPart(text='x')"),
        (Message, {"role": "user", "content": "x"}, "Message(role='user', parts=['x'])"),
        (Request, {"prompt": "x"}, "Request(messages='x')"),
        (VisionChat.connect, {"url": "http://x"}, "VisionChat.connect(base_url='http://x')"),
        (
            CHAT.ask,
            {"prompt": "x", "skip_special_tokens": False},
            "chat.ask(..., sampling=Sampling(keep_special_tokens=True))",
        ),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else None,
)
def test_the_line_to_write_keeps_what_was_given(
    call: Callable[..., Any], given: dict[str, Any], line: str
) -> None:
    with pytest.raises(ArgumentError) as caught:
        _call(call, **given)
    assert caught.value.hint == line


@pytest.mark.parametrize("backend", ["Qwen/Qwen3-VL-2B", None])
def test_what_is_no_backend_is_refused_with_the_way_to_load_a_model(backend: Any) -> None:
    with pytest.raises(InputError, match=r"VisionChat\.from_pretrained"):
        VisionChat(backend)
