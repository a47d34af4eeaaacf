"""The kit as a model of lmms-eval (0.7), for its hundreds of tasks.

    pip install lmms-eval "filelock<4" && pip install qwenvl-kit
    lmms-eval --model qwenvl_kit --tasks mmmu_val --model_args \
        pretrained=Qwen/Qwen2-VL-2B-Instruct,journal=run.jsonl

lmms-eval finds it by an entry point. Requests are answered in batches, on any backend. A request
that fails ends the run, as lmms-eval would score any text as an answer; with a journal the next run
goes on from there. Tasks that choose among given answers need `--force_simple`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import EvaluationError, MissingPackageError, UnsupportedFeatureError
from qwenvl_kit.integrations.lmms_eval_requests import (
    FilmOptions,
    messages_of,
    request_id,
    sampling_of,
    user_turn,
)
from qwenvl_kit.options import Sampling
from qwenvl_kit.requests import Request
from qwenvl_kit.results import Failure, Reply, Result

try:
    from lmms_eval.api.instance import GenerationResult, TokenCounts, unwrap_generation_output
    from lmms_eval.api.model import lmms
    from lmms_eval.models.registry_v2 import ModelManifest
except ImportError as error:
    raise MissingPackageError(
        f"lmms-eval cannot be imported: {error}", hint='pip install lmms-eval "filelock<4"'
    ) from error

if TYPE_CHECKING:
    from lmms_eval.api.instance import Instance

NAME = "qwenvl_kit"
"""The name of the model in lmms-eval."""


def manifest() -> ModelManifest:
    """Return what lmms-eval's registry wants to know; its entry point calls this."""
    return ModelManifest(
        model_id=NAME,
        chat_class_path=f"{__name__}.ChatModel",
        simple_class_path=f"{__name__}.SimpleModel",
    )


class _KitModel(lmms):  # type: ignore[misc]  # lmms-eval has no types
    """The base of both kinds of model.

    Args:
        pretrained: a checkpoint; None takes the small model that is part of the kit.
        base_url: the URL of a server, in place of a model in this process.
        backend: "local" or "vllm".
        chat: a chat, in place of all these.
        journal: a file that keeps the replies; a later run with the same file goes on from there.
        fps: frames per second of films; None for 2.
        max_frames: the most frames of a film; None for 768.
        num_frames: a number of frames in place of the two.
        max_new_tokens: the greatest length of an answer where a task sets none.
        batch_size: not used: memory decides how many requests run at a time.
        max_batch_size: the most requests in flight; None lets memory decide.
        device: the device of a local model; None for "auto".
        options: further arguments of `VisionChat.from_pretrained`, `from_vllm` or `connect`.

    Raises:
        UnsupportedFeatureError: lmms-eval runs in several processes.
        QwenVLKitError: the model cannot be loaded.
    """

    def __init__(
        self,
        pretrained: str | None = None,
        *,
        base_url: str | None = None,
        backend: str = "local",
        chat: VisionChat | None = None,
        journal: str | None = None,
        fps: float | None = None,
        max_frames: int | None = None,
        num_frames: int | None = None,
        max_new_tokens: int = 128,
        batch_size: Any = None,
        max_batch_size: int | None = None,
        device: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        _check_one_process()
        self._is_own = chat is None
        self.chat = chat or _new_chat(pretrained, base_url, backend, device, options)
        self._films = FilmOptions(fps, max_frames, num_frames)
        self._journal = journal
        self._max_new_tokens = max_new_tokens
        self._max_batch_size = max_batch_size

    def generate_until(self, requests: Sequence[Instance]) -> list[GenerationResult]:
        """Return the answers of requests, in their order, with the tokens that they took.

        Raises:
            EvaluationError: some requests failed; their errors are told.
        """
        results = self.chat.ask_many(
            _named(self._asked(each) for each in requests),
            max_batch_size=self._max_batch_size,
            progress=self.rank == 0,
            journal=self._journal,
        )
        return [_generation(reply) for reply in _replies(results)]

    def loglikelihood(self, requests: Sequence[Instance]) -> list[Any]:
        """Return the loss of given answers, and True where the model would write the answer.

        The loss is the mean negative log-probability of an answer's tokens, the end included:
        lmms-eval takes the answer with the least (lmms_eval/api/task.py), as its own models return
        losses. The blank that it puts before an answer is left out, which begins a turn here.

        Raises:
            UnsupportedFeatureError: the backend gives no log-probabilities, or the task wants those
                of answers without a question.
            EvaluationError: an answer has no room in the context.
        """
        wanted = [self._candidate(each) for each in requests]
        groups: dict[str, tuple[Request, list[str]]] = {}
        for asked, answer in wanted:
            groups.setdefault(asked.id or "", (asked, []))[1].append(answer)
        found = {
            key: self._losses(asked, list(dict.fromkeys(answers)))
            for key, (asked, answers) in groups.items()
        }
        return [_pair(*found[asked.id or ""][answer]) for asked, answer in wanted]

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> list[str]:
        """Refuse tasks of several rounds, whose next question depends on code of the task."""
        raise UnsupportedFeatureError(
            "a task of several rounds was given",
            expected="tasks of output_type generate_until, or multiple_choice with --force_simple",
        )

    def clean(self) -> None:
        """Close the chat, if it was made here, and free what lmms-eval frees."""
        if self._is_own:
            self.chat.close()
        super().clean()

    def _asked(self, request: Instance) -> Request:
        raise NotImplementedError

    def _doc(self, task: str, split: str, doc_id: Any) -> Any:
        return self.task_dict[task][split][doc_id]

    def _candidate(self, request: Instance) -> tuple[Request, str]:
        """The question of a request and the answer whose loss is wanted."""
        if len(request.args) != 6:
            raise UnsupportedFeatureError(
                "the task wants the probability of answers without a question (acc_mutual_info)",
                expected="other metrics",
            )
        text, target, visuals, doc_id, task, split = request.args
        doc = self._doc(task, split, doc_id)
        answer = str(target(doc) if callable(target) else target).strip()
        messages = user_turn(visuals(doc), text, self._films)
        return Request(messages, id=request_id(task, split, doc_id, text)), answer

    def _losses(self, asked: Request, answers: list[str]) -> dict[str, tuple[float, bool]]:
        (replies,) = self.chat.score([asked], answers)
        losses = [_loss(reply, answer) for reply, answer in zip(replies, answers)]
        written = self._written(asked, replies, answers)
        return {a: (loss, a == written) for a, loss in zip(answers, losses)}

    def _written(self, asked: Request, replies: Sequence[Reply], answers: Sequence[str]) -> str:
        """The answer that the model writes by itself, as far as it is one of some answers."""
        for reply, answer in zip(replies, answers):
            if all(score.probability > 0.5 for score in reply.scores):
                return answer
        most = max(len(reply.scores) for reply in replies)
        sampling = Sampling(max_new_tokens=most, temperature=0.0)
        (reply,) = self.chat.ask_many([replace(asked, sampling=sampling)], on_error="raise")
        return reply.text.strip() if reply.finish_reason == "stop" else ""


class ChatModel(_KitModel):
    """The kit for tasks as conversations, lmms-eval's default."""

    is_simple = False

    def _asked(self, request: Instance) -> Request:
        text, to_messages, settings, doc_id, task, split = request.args
        return Request(
            messages_of(to_messages(self._doc(task, split, doc_id)), self._films),
            id=request_id(task, split, doc_id, text, sorted(settings.items(), key=str)),
            sampling=sampling_of(settings, self._max_new_tokens),
        )


class SimpleModel(_KitModel):
    """The kit for tasks as a text and its pictures, which `--force_simple` asks for."""

    is_simple = True

    def _asked(self, request: Instance) -> Request:
        text, settings, visuals, doc_id, task, split = request.args
        return Request(
            user_turn(visuals(self._doc(task, split, doc_id)), text, self._films),
            id=request_id(task, split, doc_id, text, sorted(settings.items(), key=str)),
            sampling=sampling_of(settings, self._max_new_tokens),
        )


def _named(requests: Iterable[Request]) -> Iterator[Request]:
    """Requests with names of their own: a repeated one gets a number."""
    seen = Counter[str]()
    for request in requests:
        name = request.id or ""
        yield replace(request, id=f"{name}#{seen[name]}") if seen[name] else request
        seen[name] += 1


def _replies(results: Sequence[Result]) -> list[Reply]:
    """The replies; an error if one is missing, as any text would be scored as an answer."""
    failed = [each for each in results if isinstance(each, Failure)]
    if failed:
        raise EvaluationError(
            f"{len(failed):,} of {len(results):,} requests failed; the first: {failed[0].error}",
            expected="an answer to each, as lmms-eval has no score for a failure",
            hint="journal=FILE among --model_args keeps the other answers for the next run",
        ) from failed[0].error
    return [each for each in results if isinstance(each, Reply)]


def _generation(reply: Reply) -> GenerationResult:
    counts = TokenCounts(
        input_tokens=reply.usage.prompt_tokens, output_tokens=reply.usage.completion_tokens
    )
    return GenerationResult(text=reply.text, token_counts=counts)


def _pair(loss: float, is_written: bool) -> Any:
    """A loss with its truth value, in a form that lmms-eval's evaluator leaves as it is.

    That of 0.7.2 makes a text of a pair (lmms_eval/api/instance.py, `unwrap_generation_output`),
    by which no task can choose; what is wrapped as a result comes through.
    """
    pair = (loss, is_written)
    is_kept = unwrap_generation_output(pair)[0] == pair
    return pair if is_kept else GenerationResult(text=pair)


def _loss(reply: Reply, answer: str) -> float:
    if reply.finish_reason != "stop":
        raise EvaluationError(
            f"the answer {answer[:60]!r} has no room in the model's context", expected="room for it"
        )
    if reply.logprob is None:
        raise UnsupportedFeatureError(
            "the backend gives no log-probabilities, which are needed to score given answers",
            hint="a local model, or a server that gives logprobs",
        )
    return -reply.logprob / len(reply.scores)


def _new_chat(
    model: str | None, base_url: str | None, backend: str, device: str | None, options: Any
) -> VisionChat:
    if base_url is not None:
        return VisionChat.connect(base_url, model=model, **options)
    if backend == "vllm" and model is not None:
        return VisionChat.from_vllm(model, **options)
    if backend != "local":
        raise UnsupportedFeatureError(
            f"backend={backend!r} was given with pretrained={model!r}",
            expected="backend=local, backend=vllm with pretrained=..., or base_url=...",
        )
    return VisionChat.from_pretrained(model, device=device or "auto", **options)


def _check_one_process() -> None:
    world = os.environ.get("WORLD_SIZE", "1")
    if world not in ("", "1"):
        raise UnsupportedFeatureError(
            f"lmms-eval runs in WORLD_SIZE={world} processes",
            expected="one process, in which the kit uses all devices",
            hint="start lmms-eval without accelerate or torchrun",
        )
