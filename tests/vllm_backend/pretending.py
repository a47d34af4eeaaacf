"""Stands in for vLLM, whose engine is asked as `qwenvl_kit.backends.vllm` asks it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from transformers import AutoTokenizer

from qwenvl_kit import VisionChat
from qwenvl_kit.embedded import MODEL_FOLDER


@dataclass
class Params:
    """VLLM's `SamplingParams`, `StructuredOutputsParams` and `LoRARequest`: what they are given."""

    given: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["given"][name]
        except KeyError:
            raise AttributeError(name) from None


@dataclass
class Running:
    """A request that the engine has."""

    name: str
    ids: list[int]
    params: Params
    lora: Any
    num_told: int = 0


@dataclass
class Core:
    """An engine that says the same words to everybody, a token a step.

    Attributes:
        words: what it says.
        logprob: of each token of an answer that is written.
        read_logprob: of each token of a prompt that is read.
        refuse: raises for prompts that are refused.
        fail_at: steps that fail.
        pause_seconds: of a step.
        added: all that it was given.
        aborted: the names of those that were ended.
        loras: the adapters that it has.
        is_shut_down: whether it was.
    """

    words: str = "A red circle."
    logprob: float = -0.25
    read_logprob: float = -1.5
    refuse: Callable[[Running], None] = lambda running: None
    fail_at: set[int] = field(default_factory=set)
    pause_seconds: float = 0.0
    added: list[Running] = field(default_factory=list)
    prompts: list[Mapping[str, Any]] = field(default_factory=list)
    aborted: list[str] = field(default_factory=list)
    loras: list[Any] = field(default_factory=list)
    most_running: int = 0
    num_steps: int = 0
    is_shut_down: bool = False

    def __post_init__(self) -> None:
        self.model_config = SimpleNamespace(max_model_len=2048, dtype="torch.bfloat16")
        self.engine_core = SimpleNamespace(shutdown=self._shut_down)
        self._running: dict[str, Running] = {}
        tokenizer = AutoTokenizer.from_pretrained(MODEL_FOLDER)
        self._ids = tokenizer.encode(self.words, add_special_tokens=False)
        self._end = tokenizer.convert_tokens_to_ids("<|im_end|>")

    def add_request(self, name: str, prompt: Any, params: Params, lora_request: Any) -> None:
        running = Running(name, list(prompt["prompt_token_ids"]), params, lora_request)
        self.refuse(running)
        self.added.append(running)
        self.prompts.append(prompt)
        self._running[name] = running
        self.most_running = max(self.most_running, len(self._running))

    def abort_request(self, names: Sequence[str]) -> None:
        for name in names:
            del self._running[name]
            self.aborted.append(name)

    def step(self) -> list[Any]:
        self.num_steps += 1
        time.sleep(self.pause_seconds)
        if self.num_steps in self.fail_at:
            self._running.clear()
            raise RuntimeError("CUDA error: an illegal memory access")
        return [self._output(running) for running in list(self._running.values())]

    def add_lora(self, request: Any) -> None:
        self.loras.append(request)

    def remove_lora(self, number: int) -> None:
        self.loras = [lora for lora in self.loras if lora.lora_int_id != number]

    def _output(self, running: Running) -> Any:
        ids, params = [*self._ids, self._end], running.params
        is_read = "prompt_logprobs" in params.given
        token = self._end if is_read else ids[running.num_told]
        running.num_told += 1
        is_over = token == self._end or running.num_told >= params.max_tokens
        if is_over:
            del self._running[running.name]
        piece = SimpleNamespace(
            token_ids=[token],
            logprobs=[{token: SimpleNamespace(logprob=self.logprob)}],
            finish_reason=("stop" if token == self._end else "length") if is_over else None,
        )
        read = [{token: SimpleNamespace(logprob=self.read_logprob)} for token in running.ids]
        return SimpleNamespace(
            request_id=running.name,
            outputs=[piece],
            finished=is_over,
            prompt_token_ids=running.ids,
            prompt_logprobs=[None, *read[1:]] if is_read else None,
            num_cached_tokens=0,
        )

    def _shut_down(self) -> None:
        self.is_shut_down = True


@contextmanager
def pretended(
    monkeypatch: pytest.MonkeyPatch, core: Core | Exception
) -> Iterator[Mapping[str, Any]]:
    """A module `vllm` whose engine is that one, and the arguments that it is started with."""
    arguments: dict[str, Any] = {}

    def start(**given: Any) -> Any:
        arguments.update(given)
        if isinstance(core, Exception):
            raise core
        return SimpleNamespace(llm_engine=core)

    def lora(name: str, number: int, path: str) -> Params:
        return Params({"name": name, "lora_int_id": number, "path": path})

    def params(**given: Any) -> Params:
        return Params(given)

    modules: dict[str, dict[str, Any]] = {
        "vllm": {"LLM": start, "SamplingParams": params, "__version__": "0"},
        "vllm.sampling_params": {
            "RequestOutputKind": SimpleNamespace(DELTA="delta"),
            "StructuredOutputsParams": params,
        },
        "vllm.lora": {},
        "vllm.lora.request": {"LoRARequest": lora},
    }
    for name, members in modules.items():
        module = ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
    yield arguments


@contextmanager
def opened(
    monkeypatch: pytest.MonkeyPatch, core: Core | Exception, **options: Any
) -> Iterator[VisionChat]:
    """A chat with a pretended vLLM."""
    with pretended(monkeypatch, core):
        with VisionChat.from_vllm(MODEL_FOLDER, calibrator=None, **options) as chat:
            yield chat
