"""A service around a chat: `python examples/service.py --serve 8000`.

Answers by JSON and as a stream, takes as many requests as the model can, tells how it is doing, has
its model replaced while requests run, and ends without losing one. Without `--serve` it starts on a
free port, is asked by eight clients at once while its model is replaced, and says how that went.

The chat may as well be `VisionChat.connect("http://127.0.0.1:8000/v1")` or
`VisionChat.from_vllm("Qwen/Qwen3-VL-8B-Instruct")`: nothing else changes.
"""

from __future__ import annotations

import argparse
import base64
import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import prometheus_client
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from pydantic import BaseModel

from qwenvl_kit import VisionChat
from qwenvl_kit.errors import InputError, OverloadError, QwenVLKitError, ServerBusyError
from qwenvl_kit.telemetry import PrometheusMetrics

PICTURE = Path(__file__).parent / "pictures" / "before.png"


class Question(BaseModel):
    """What a client sends: pictures as data URLs, which are measured before they are decoded."""

    question: str
    images: list[str] = []


def make_app(chat: VisionChat) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        metrics = PrometheusMetrics(chat)
        yield
        metrics.close()
        await run_in_threadpool(chat.close, grace_seconds=30)

    app = FastAPI(lifespan=lifespan)

    @app.exception_handler(QwenVLKitError)
    async def explain(_: Request, error: QwenVLKitError) -> JSONResponse:
        is_busy = isinstance(error, (OverloadError, ServerBusyError))
        status = 503 if is_busy else 422 if isinstance(error, InputError) else 500
        headers = {"Retry-After": "1"} if is_busy else None
        return JSONResponse({"error": str(error)}, status_code=status, headers=headers)

    @app.post("/answer")
    async def answer(asked: Question) -> dict[str, Any]:
        _check(asked)
        reply = await chat.ask_async(asked.question, *asked.images)  # concurrent ones run together
        return {"text": reply.text, "confidence": reply.confidence}

    @app.post("/stream")
    async def stream(asked: Question) -> StreamingResponse:
        _check(asked)
        opened = await run_in_threadpool(chat.stream, asked.question, *asked.images)

        def lines() -> Iterator[str]:
            with opened:  # a client that goes away ends the answer
                for delta in opened:
                    yield f"data: {json.dumps(delta.text)}\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream")

    @app.post("/reload")  # for the operator: keep it off the network
    async def reload(model: str | None = None) -> dict[str, str]:
        await run_in_threadpool(chat.reload, model)
        return {"model": chat.report()["model"]}

    @app.get("/health")
    async def health() -> JSONResponse:
        now = chat.health()
        waits = {"waiting": now.num_waiting, "running": now.num_running}
        return JSONResponse(waits, status_code=200 if now.is_ready else 503)

    @app.get("/metrics")
    async def metrics_page() -> PlainTextResponse:
        return PlainTextResponse(prometheus_client.generate_latest().decode())

    return app


def _check(asked: Question) -> None:
    """Paths and URLs are for those who run the service; a stranger's could lead anywhere."""
    if not all(image.startswith("data:image/") for image in asked.images):
        raise HTTPException(422, "images are data URLs")


def try_out(app: FastAPI, num_requests: int = 60) -> None:
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    picture = f"data:image/png;base64,{base64.b64encode(PICTURE.read_bytes()).decode()}"

    def ask(number: int) -> tuple[int, str]:
        if number == num_requests // 3:
            return post(f"{address}/reload", None)
        images = [picture] if number % 10 else ["file:///etc/passwd"]
        return post(f"{address}/answer", {"question": "What is this?", "images": images})

    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(ask, range(num_requests)))
    counts = Counter(status for status, _ in answers)
    print(f"{counts[200]} answered, {counts[422]} refused, {counts[500] + counts[503]} failed")
    print(answers[1][1])
    streamed = post(f"{address}/stream", {"question": "What is this?", "images": [picture]})
    print(streamed[1].replace("\n\n", " "))
    with urllib.request.urlopen(f"{address}/metrics") as page:
        told = [line for line in page.read().decode().splitlines() if "requests_total{" in line]
    print(*told, sep="\n")
    server.should_exit = True
    thread.join()
    if counts[500] + counts[503] or counts[200] + counts[422] != num_requests:
        raise SystemExit("a request was lost")


def post(url: str, content: Any) -> tuple[int, str]:
    request = urllib.request.Request(
        url, json.dumps(content).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", type=int, metavar="PORT")
    port = parser.parse_args().serve
    app = make_app(VisionChat.from_pretrained())
    if port is None:
        try_out(app)
    else:
        uvicorn.run(app, host="127.0.0.1", port=port)


if __name__ == "__main__":
    main()
