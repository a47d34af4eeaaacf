"""vLLM on this processor: beside the local backend, and called by hand beside the kit's way."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import PIL.Image

from qwenvl_kit import ImagePart, Message, Sampling, VisionChat
from qwenvl_kit.backends.base import BackendRequest, Observer
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.backends.server.image_encoding import picture_url
from qwenvl_kit.embedded import MODEL_FOLDER
from tests.benchmarks.by_kit import ask_many
from tests.benchmarks.measuring import (
    COLUMNS,
    ROUNDS,
    Case,
    Run,
    at_once,
    measured_rows,
    table,
    timed,
)
from tests.benchmarks.models import checkpoint_of, greedy, question
from tests.benchmarks.photographs import photograph
from tests.by_hand import picture
from tests.conformance.subjects import QUIET, VLLM_ARGUMENTS, VLLM_SERVER, running

MODEL = "qwen2_vl:140M"
NUM_REQUESTS, NUM_LOCAL = 48, 32
QUESTION = "Describe the image."
LONGEST = Sampling(max_new_tokens=24)
IN_PROCESS = {
    **VLLM_ARGUMENTS,
    "distributed_executor_backend": "uni",
    "max_num_seqs": NUM_LOCAL,
    "kv_cache_memory_bytes": 2**30,
}


def section() -> list[str]:
    """The local backend beside vLLM, the kit's way to vLLM beside others, and bytes."""
    rounds = min(5, ROUNDS)
    return [
        f"The local backend beside vLLM, both through the kit, each in a process of its own that "
        "may use all cores: a random "
        f"model, {MODEL}, fp32, greedy, 16 tokens an answer; pictures of 224 x 224, and one of "
        "1,024 visual tokens for the questions about one. Nothing is kept between rounds, "
        "on either side. Above 1 the local backend is faster.",
        "",
        *table(COLUMNS, measured_rows(_beside_local(), at_once, rounds)),
        "",
        f"{NUM_REQUESTS} questions about pictures of 280 x 196, the embedded model: the kit's way "
        "to vLLM beside vLLM called by hand. The processor time of a server is not known here.",
        "",
        *table(COLUMNS, measured_rows(_beside_hand(), at_once, rounds)),
        "",
        *_bytes(),
    ]


def _beside_local() -> Iterator[Case]:
    with checkpoint_of(MODEL) as folder:
        with _Worker(_open_local, folder) as local:
            local.answer(next(iter(_tasks())))  # it measures the processor: alone, as users have it
            with _Worker(_open_vllm, folder) as other:
                for title in _tasks():
                    yield Case(
                        f"{title}, `from_pretrained`",
                        partial(local.answer, title),
                        {"`from_vllm`": partial(other.answer, title)},
                    )


def _open_local(folder: Path) -> VisionChat:
    return VisionChat.from_pretrained(folder, dtype="float32", device="cpu", calibrator=None)


def _open_vllm(folder: Path) -> VisionChat:
    os.environ.update(QUIET, VLLM_ENABLE_V1_MULTIPROCESSING="0", VLLM_CPU_NUM_OF_RESERVED_CPU="0")
    return VisionChat.from_vllm(folder, calibrator=None, **IN_PROCESS)


def _tasks() -> dict[str, list[Message]]:
    """The requests, by what they are."""
    small = [ImagePart(picture(224, 224, seed)) for seed in range(NUM_LOCAL)]
    large = ImagePart(picture(896, 896, seed=0))
    return {
        f"{NUM_LOCAL} pictures": [Message.user(image, QUESTION) for image in small],
        f"{NUM_LOCAL} questions about one picture": [
            Message.user(large, f"{at}. {question(at)}") for at in range(NUM_LOCAL)
        ],
        "one question about one picture": [Message.user(small[0], QUESTION)],
    }


class _Worker:
    """A chat in a process of its own: vLLM binds the threads of its process to cores."""

    def __init__(self, open_chat: Callable[[Path], VisionChat], folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, open_chat, folder))
        self._process.start()
        theirs.close()  # so that the end of the process is the end of the pipe

    def answer(self, title: str) -> Run:
        """One round of a task."""
        self._pipe.send(title)
        run: Run = self._pipe.recv()
        return run

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(30)
        if self._process.is_alive():
            self._process.kill()


def _serve(pipe: Any, open_chat: Callable[[Path], VisionChat], folder: Path) -> None:
    """Answer tasks until nobody asks."""
    tasks = _tasks()
    with open_chat(folder) as chat, contextlib.suppress(EOFError):
        while True:
            requests = tasks[pipe.recv()]
            _forget(chat)
            pipe.send(ask_many(chat, requests, greedy(16)))


def _forget(chat: VisionChat) -> None:
    """Begin a round with nothing kept; what vLLM keeps is its own."""
    backend: Any = chat._backend
    if backend.has_cache:
        chat.clear_cache()
        return
    core = backend._model.engine._core
    core.reset_prefix_cache()
    core.reset_mm_cache()
    core.reset_encoder_cache()


def _beside_hand() -> Iterator[Case]:
    images = [picture(280, 196, seed) for seed in range(NUM_REQUESTS)]
    for title, name, sides in (
        ("`connect`", "openai client", _server_sides),
        ("`from_vllm`", "`LLM.chat`", _engine_sides),
    ):
        kit, hand, close = sides(images)
        yield Case(
            f"{NUM_REQUESTS} questions by {title}",
            lambda kit=kit: timed(kit),  # type: ignore[misc]
            {f"{name} by hand": lambda hand=hand: timed(hand)},  # type: ignore[dict-item,misc]
        )
        close()


Side = Callable[[], list[str]]


def _requests(images: list[PIL.Image.Image]) -> list[Message]:
    return [Message.user(ImagePart(image), QUESTION) for image in images]


def _server_sides(images: list[PIL.Image.Image]) -> tuple[Side, Side, Callable[[], None]]:
    import openai

    module = ("-m", "vllm.entrypoints.openai.api_server", "--model", str(MODEL_FOLDER))
    started = running(*module, *VLLM_SERVER)
    address = f"{started.__enter__()}/v1"
    chat = VisionChat.connect(address, checkpoint=MODEL_FOLDER, max_concurrent_requests=16)

    async def ask_all() -> list[str]:
        free = asyncio.Semaphore(16)
        async with openai.AsyncOpenAI(base_url=address, api_key="none") as client:

            async def ask(image: PIL.Image.Image) -> str:
                buffer = io.BytesIO()
                image.save(buffer, "PNG")
                data = base64.b64encode(buffer.getvalue()).decode()
                url = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
                said: Any = [{"role": "user", "content": [url, {"type": "text", "text": QUESTION}]}]
                async with free:
                    answer = await client.chat.completions.create(
                        model=str(MODEL_FOLDER),
                        messages=said,
                        temperature=0.0,
                        max_tokens=24,
                        logprobs=True,
                    )
                return str(answer.choices[0].message.content)

            return list(await asyncio.gather(*map(ask, images)))

    def close() -> None:
        chat.close()
        started.__exit__(None, None, None)

    def by_kit() -> list[str]:
        return [str(reply) for reply in chat.ask_many(_requests(images), sampling=LONGEST)]

    return by_kit, lambda: asyncio.run(ask_all()), close


def _engine_sides(images: list[PIL.Image.Image]) -> tuple[Side, Side, Callable[[], None]]:
    os.environ.update(QUIET, VLLM_ENABLE_V1_MULTIPROCESSING="0")
    import vllm

    arguments = {**VLLM_ARGUMENTS, "distributed_executor_backend": "uni"}
    by_hand = vllm.LLM(str(MODEL_FOLDER), **arguments)
    chat = VisionChat.from_vllm(MODEL_FOLDER, calibrator=None, **arguments)
    params = vllm.SamplingParams(temperature=0.0, max_tokens=24, logprobs=0)
    said: Any = [
        [
            {
                "role": "user",
                "content": [
                    {"type": "image_pil", "image_pil": image},
                    {"type": "text", "text": QUESTION},
                ],
            }
        ]
        for image in images
    ]

    def ask_by_hand() -> list[str]:
        return [o.outputs[0].text for o in by_hand.chat(said, params, use_tqdm=False)]

    def by_kit() -> list[str]:
        return [str(reply) for reply in chat.ask_many(_requests(images), sampling=LONGEST)]

    return by_kit, ask_by_hand, lambda: chat.close() and None


class _Measuring(ScriptedBackend):
    """A backend that notes how many bytes a request would send to a server."""

    num_bytes = 0

    def submit(self, request: BackendRequest, observer: Observer | None = None) -> Any:
        (image,) = request.media
        self.num_bytes = len(picture_url(image, "auto"))  # type: ignore[arg-type]
        return super().submit(request, observer)


def _bytes() -> list[str]:
    """A photograph of 12 megapixels under the standard budget, and the file as it is."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.jpg"
        photograph(4000, 3000).save(path, quality=92)
        naive = len(base64.b64encode(path.read_bytes()))
        backend = _Measuring(["."])
        VisionChat(backend).ask("What?", str(path), budget="standard")
    return [
        f"A JPEG of 12 megapixels ({naive:,} bytes as a data URL) travels in "
        f"{backend.num_bytes:,} bytes under the standard budget: "
        f"**{naive / backend.num_bytes:.1f}x** less.",
    ]
