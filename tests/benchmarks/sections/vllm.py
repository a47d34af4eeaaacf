"""Other engines through the kit, against the same engines called by hand."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import PIL.Image

from qwenvl_kit import ImagePart, Message, Sampling, VisionChat
from qwenvl_kit.backends.base import BackendRequest, Observer
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.backends.server.image_encoding import picture_url
from qwenvl_kit.embedded import MODEL_FOLDER
from tests.benchmarks.photographs import photograph
from tests.by_hand import picture
from tests.conformance.subjects import QUIET, VLLM_ARGUMENTS, VLLM_SERVER, running

ROUNDS = 5
NUM_REQUESTS = 48
QUESTION = "Describe the image."
LONGEST = Sampling(max_new_tokens=24)


def is_possible() -> bool:
    """Whether vLLM is installed, as it is where `nox -s integration` runs."""
    return find_spec("vllm") is not None


def section() -> list[str]:
    """Ratios of requests a second, and bytes of a photograph."""
    images = [picture(280, 196, seed) for seed in range(NUM_REQUESTS)]
    return [
        f"{NUM_REQUESTS} questions about pictures of 280 x 196, answered by vLLM on this "
        f"processor, median of {ROUNDS} rounds, in turn. The ratio is the requests a second of the "
        "kit over those by hand, with its smallest and largest.",
        "",
        "| what | kit | by hand | ratio | spread | same answers |",
        "|---|---|---|---|---|---|",
        _row("`connect`, the openai client by hand", *_server_sides(images)),
        _row("`from_vllm`, `LLM.chat` by hand", *_engine_sides(images)),
        "",
        *_bytes(),
    ]


Side = Callable[[], list[str]]


def _row(name: str, kit: Side, hand: Side, close: Callable[[], None]) -> str:
    answers = [side() for side in (kit, hand)]
    same = sum(mine == its for mine, its in zip(*answers, strict=True))
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for side, seconds in zip((kit, hand), times):
            started = time.perf_counter()
            side()
            seconds.append(time.perf_counter() - started)
    close()
    ratios = sorted(theirs / ours for ours, theirs in zip(*times))
    rates = [NUM_REQUESTS / statistics.median(seconds) for seconds in times]
    return (
        f"| {name} | {rates[0]:.1f} a second | {rates[1]:.1f} a second | "
        f"**{statistics.median(ratios):.2f}** | {ratios[0]:.2f} - {ratios[-1]:.2f} | "
        f"{same}/{NUM_REQUESTS} |"
    )


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
