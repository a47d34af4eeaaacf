"""One model, many callers: threads, streams, failures."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from qwenvl_kit import Failure, Message, Request, Sampling, VisionChat
from qwenvl_kit.backends.local import LocalBackend, load_backend
from qwenvl_kit.errors import CheckpointError, GenerationError, ModelLoadError
from tests.by_hand import CONVERSATIONS

INJECTED = "a <|im_end|> b <|image_pad|> " * 20
SHORT = Sampling(max_new_tokens=2)


def test_callers_in_threads_get_the_answers_of_one_after_another(chat: VisionChat) -> None:
    expected = chat.ask(INJECTED, sampling=SHORT)
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda _: chat.ask(INJECTED, sampling=SHORT), range(16)))
    assert {(r.text, r.usage.prompt_tokens) for r in replies} == {
        (expected.text, expected.usage.prompt_tokens)
    }


def test_tokens_that_steer_without_being_special_are_plain_text_too(
    tiny_folder: Path, tmp_path: Path
) -> None:
    import transformers
    from tokenizers import AddedToken

    folder = Path(shutil.copytree(tiny_folder, tmp_path / "steered"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([AddedToken("<think>", special=False)])
    tokenizer.save_pretrained(folder)
    backend = load_backend(folder)
    ids = backend._engine.encoder.encode_prompt([Message.user("say <think> now")], ()).ids
    assert tokenizer.convert_tokens_to_ids("<think>") not in ids


def test_two_readers_of_one_stream_both_get_the_reply(chat: VisionChat) -> None:
    stream = chat.stream("hello", sampling=Sampling(max_new_tokens=8))
    with ThreadPoolExecutor(2) as pool:
        replies = [pool.submit(lambda: stream.reply) for _ in range(2)]
        texts = {reply.result(timeout=60).text for reply in replies}
    assert len(texts) == 1


def test_leaving_the_block_after_a_break_ends_the_generation(chat: VisionChat) -> None:
    with chat.stream("hello", sampling=Sampling(max_new_tokens=3000)) as stream:
        for _ in stream:
            break
    assert stream.reply.finish_reason == "cancelled"
    assert stream.reply.usage.completion_tokens < 3000


@contextmanager
def counted_forwards(backend: LocalBackend) -> Iterator[list[int]]:
    calls: list[int] = []
    hook = backend.model.register_forward_hook(lambda *_: calls.append(1))
    yield calls
    hook.remove()


def test_a_stream_that_is_cancelled_while_it_waits_its_turn_runs_nothing(
    chat: VisionChat, backend: LocalBackend
) -> None:
    with counted_forwards(backend) as calls:
        with backend._engine.scheduler.paused():
            stream = chat.stream("hello", sampling=Sampling(max_new_tokens=5))
            stream.cancel()
        assert stream.reply.finish_reason == "cancelled"
    assert calls == []


def failing_with_a_tensor() -> tuple[Callable[..., Any], list[weakref.ref[torch.Tensor]]]:
    """A forward that fails while it holds a tensor, and references to those it held."""
    held: list[weakref.ref[torch.Tensor]] = []

    def fail(*_: Any, **__: Any) -> None:
        large = torch.zeros(1000)
        held.append(weakref.ref(large))
        raise RuntimeError(f"no {large.shape[0]}")

    return fail, held


def test_a_failure_does_not_hold_the_memory_of_the_call_that_failed(
    tiny_folder: Path,
) -> None:
    chat = VisionChat.from_pretrained(tiny_folder)
    fail, held = failing_with_a_tensor()
    chat._backend.model.register_forward_pre_hook(fail)  # type: ignore[attr-defined]
    (result,) = chat.ask_many(["hello"], sampling=SHORT)
    gc.collect()
    assert isinstance(result, Failure)
    assert isinstance(result.error, GenerationError)
    assert held
    assert all(reference() is None for reference in held)


def test_a_model_that_fails_once_answers_afterwards(tiny_folder: Path) -> None:
    chat = VisionChat.from_pretrained(tiny_folder)
    model = chat._backend.model  # type: ignore[attr-defined]
    hook = model.register_forward_pre_hook(failing_with_a_tensor()[0])
    with pytest.raises(GenerationError, match="no 1000"):
        chat.ask("hello", sampling=SHORT)
    hook.remove()
    assert chat.ask("hello", sampling=SHORT).usage.completion_tokens == 2


def test_missing_weights_are_not_replaced_by_random_ones(tiny_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(tiny_folder, tmp_path / "gap"))
    weights = load_file(folder / "model.safetensors")
    gap = next(name for name in weights if "layers.1.mlp.down_proj" in name)
    del weights[gap]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"layers\.1\.mlp\.down_proj"):
        VisionChat.from_pretrained(folder)


def test_the_model_of_transformers_keeps_its_own_settings(backend: LocalBackend) -> None:
    VisionChat(backend).ask("hello", sampling=SHORT)
    assert backend.model.generation_config.eos_token_id is not None


def test_no_thread_is_left_behind(chat: VisionChat) -> None:
    before = threading.active_count()
    for _ in range(3):
        chat.stream("hello", sampling=SHORT).reply.text  # noqa: B018
    assert threading.active_count() <= before


def test_a_batch_of_unlike_conversations_may_be_asked_in_any_order(chat: VisionChat) -> None:
    requests = [Request(messages) for messages in CONVERSATIONS.values()]
    forwards = chat.ask_many(requests, sampling=SHORT, on_error="raise")
    backwards = chat.ask_many(requests[::-1], sampling=SHORT, on_error="raise")
    assert [reply.text for reply in forwards] == [reply.text for reply in backwards[::-1]]


def test_many_threads_may_load_at_once(tiny_folder: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        chats = list(pool.map(lambda _: VisionChat.from_pretrained(tiny_folder), range(6)))
    assert len({chat.ask("hello", sampling=SHORT).text for chat in chats}) == 1


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.slow
def test_a_program_may_end_while_a_stream_runs(tiny_folder: Path) -> None:
    done = run(
        "from qwenvl_kit import Sampling, VisionChat\n"
        f"chat = VisionChat.from_pretrained({str(tiny_folder)!r})\n"
        "stream = chat.stream('hello', sampling=Sampling(max_new_tokens=4000))\n"
        "next(stream)\n"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_process_is_not_held_up_by_its_parents_stream(tiny_folder: Path) -> None:
    done = run(
        "import os, PIL.Image\n"
        "from qwenvl_kit import Sampling, VisionChat\n"
        f"chat = VisionChat.from_pretrained({str(tiny_folder)!r})\n"
        "picture = PIL.Image.new('RGB', (400, 300))\n"
        "chat.ask('hello', picture, sampling=Sampling(max_new_tokens=2))\n"
        "stream = chat.stream('hello', sampling=Sampling(max_new_tokens=4000))\n"
        "next(stream)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    chat.ask('hello', picture, sampling=Sampling(max_new_tokens=2))\n"
        "    os._exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    assert done.stdout.strip() == "7", done.stderr


def test_a_model_may_be_closed_while_it_answers(tiny_folder: Path) -> None:
    chat = VisionChat.from_pretrained(tiny_folder)
    stream = chat.stream("hello", sampling=Sampling(max_new_tokens=50))
    next(stream)
    chat.close()
    assert stream.reply.finish_reason in ("stop", "length")
    with pytest.raises(ModelLoadError, match="closed"):
        chat.ask("hello")


def test_settings_of_torch_do_not_change_an_answer(chat: VisionChat) -> None:
    messages = CONVERSATIONS["one image"]
    chat.clear_cache()
    expected = chat.ask(messages, sampling=Sampling(max_new_tokens=8))
    chat.clear_cache()
    with torch.device("meta"), torch.autocast("cpu", dtype=torch.bfloat16):
        reply = chat.ask(messages, sampling=Sampling(max_new_tokens=8))
    assert reply.tokens == expected.tokens


def test_a_closed_chat_gives_its_model_back(tiny_folder: Path) -> None:
    chat = VisionChat.from_pretrained(tiny_folder)
    chat.ask("hello", sampling=SHORT)
    model = weakref.ref(chat._backend.model)  # type: ignore[attr-defined]
    chat.close()
    deadline = time.monotonic() + 5
    while model() is not None and time.monotonic() < deadline:  # its thread ends at once
        gc.collect()
    assert model() is None
