"""`VisionChat`: a loaded model that answers questions about pictures and videos."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal, overload

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.backends import connect_to_server, load_local, load_openvino, load_vllm
from qwenvl_kit.display.chats import ShownChat
from qwenvl_kit.errors import ArgumentError
from qwenvl_kit.options import MAX_QUEUED_REQUESTS
from qwenvl_kit.pipeline.calls import request_of, settings_of
from qwenvl_kit.pipeline.process_bound import process_bound

if TYPE_CHECKING:
    import torch
    from typing_extensions import Self

    from qwenvl_kit.backends.base import AdapterSet, Backend, CacheInfo
    from qwenvl_kit.calibration import Calibrator
    from qwenvl_kit.calibration.files import CalibratorChoice
    from qwenvl_kit.checkpoints.sources import Source
    from qwenvl_kit.conversation import Conversation
    from qwenvl_kit.diagnostics.findings import Diagnosis
    from qwenvl_kit.families import Family
    from qwenvl_kit.journal import Journal
    from qwenvl_kit.live import FrameSource, Watch
    from qwenvl_kit.media.policy import MediaPolicy
    from qwenvl_kit.options import BudgetChoice, Fit, PixelBudget, Sampling
    from qwenvl_kit.pipeline.core import Pipeline
    from qwenvl_kit.pipeline.inflight import InFlightRequest, RequestObserver
    from qwenvl_kit.pipeline.listeners import Listeners
    from qwenvl_kit.pipeline.memory_report import MemoryReport
    from qwenvl_kit.pipeline.replay import Replay
    from qwenvl_kit.pipeline.stats import ChatStats, Health
    from qwenvl_kit.pipeline.streaming import BatchStream, ReplyStream
    from qwenvl_kit.pipeline.tool_loop import ToolRun
    from qwenvl_kit.pipeline.tracing import Trace
    from qwenvl_kit.plans import Plan
    from qwenvl_kit.requests import Media, OnError, Request, RequestLike
    from qwenvl_kit.results import Reply, Result
    from qwenvl_kit.structured_output.constraints import Constraint

    ImageEncoding = Literal["auto", "png", "jpeg"]
    WatchSource = str | os.PathLike[str] | int | FrameSource | Iterable[Any]


@process_bound
@explains_wrong_arguments
class VisionChat(ShownChat):
    """A loaded Qwen vision-language model: ask it about pictures, videos and documents.

    `from_pretrained` loads a model into this process, `from_openvino` one that was exported for
    processors of Intel and AMD, `from_vllm` loads one into vLLM, and `connect` uses one behind an
    OpenAI-compatible server. All methods are the same for all four, and may be called from any
    thread.

    Example:
        chat = VisionChat.from_pretrained("Qwen/Qwen2.5-VL-3B-Instruct")
        reply = chat.ask("What is in this image?", "photo.jpg")
        print(reply.text, reply.confidence)

    Args:
        backend: the engine that runs the requests; the constructors named above make one.
        budget: the visual tokens that pictures may take if a request does not say: a
            `PixelBudget`, "native" (the checkpoint's own limits), "quick", "standard" or "fine".
            None is "native".
        media: the policy that says which files and URLs may be opened.
        calibrator: turns a confidence into the expected share of right answers; None for no
            calibrated confidence.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        budget: BudgetChoice | None = None,
        media: MediaPolicy | None = None,
        calibrator: Calibrator | None = None,
    ) -> None:
        from qwenvl_kit.media.policy import as_policy
        from qwenvl_kit.options import as_budget
        from qwenvl_kit.pipeline.core import Pipeline, PipelineSlot
        from qwenvl_kit.pipeline.stats import StatsCounter

        given = None if budget is None else as_budget(budget)
        self._slot = PipelineSlot(Pipeline(backend, given, as_policy(media), calibrator))
        self._stats = StatsCounter()

    @classmethod
    def from_pretrained(
        cls,
        model: str | os.PathLike[str] | None = None,
        *,
        source: Source = "huggingface",
        revision: str | None = None,
        offline: bool = False,
        dtype: str | torch.dtype = "auto",
        device: str | torch.device = "auto",
        quantization: Literal["4bit", "8bit"] | None = None,
        attention: str = "auto",
        compile: bool | Literal["auto"] = "auto",  # noqa: A002  # torch's own word
        cuda_graphs: bool | Literal["auto"] = "auto",
        adapter: str | os.PathLike[str] | None = None,
        budget: BudgetChoice | None = None,
        media: MediaPolicy | None = None,
        calibrator: CalibratorChoice = "auto",
        max_cache_bytes: int | None = None,
        max_queued_requests: int = MAX_QUEUED_REQUESTS,
        warm_up: bool = False,
    ) -> Self:
        """Load a model into this process.

        `report()` tells every decision and its reason. Weights are read from safetensors files
        only, and no code of a checkpoint is ever run.

        Args:
            model: the folder of a checkpoint, or its id on a hub. None loads the small model that
                is part of this package, offline.
            source: the hub of the id: "huggingface" or "modelscope".
            revision: a branch, tag or commit of the hub; all files are taken from one commit.
            offline: True if nothing may be fetched.
            dtype: a torch dtype or its name; or "auto": bf16 on a device that has it, else fp32.
                ("auto" takes fp16 only for quantised checkpoints that were published in it.)
            device: a torch device; or "auto": one GPU if the weights fit, several GPUs if they need
                them, and the CPU only if there is no GPU.
            quantization: "4bit" (NF4) or "8bit", by bitsandbytes; the vision encoder keeps its
                dtype. Checkpoints that were published quantised are recognised without it.
            attention: an attention implementation of transformers; or "auto": FlashAttention 2 if
                it works here, else torch's own.
            compile: True if torch should compile parts of the model when it first runs; "auto" does
                so where that was measured to be faster.
            cuda_graphs: True to decode with fixed shapes, captured as CUDA graphs on a CUDA device
                and without graphs on a processor; "auto" does so where that was measured to be
                faster, which is nowhere yet.
            adapter: the folder of a LoRA adapter; `adapters` loads more.
            budget: the visual tokens that pictures may take if a request does not say. None takes
                the budget that the adapter, or the model in this folder, was trained with by the
                kit, and else "native". Another budget than that of the training is an error.
            media: the media policy: which files and URLs may be opened.
            calibrator: a `Calibrator` or the file of one, which makes confidences match the share
                of right answers; "auto" takes `calibration.json` of the model's folder, if there is
                one; None takes none.
            max_cache_bytes: the most device memory for computed prompts, pictures and videos that
                may be used again. None takes an eighth of the memory that is free after loading, at
                most 2 GiB; 0 keeps nothing.
            max_queued_requests: the most requests that wait; a further one gets an OverloadError.
            warm_up: True to run the largest picture that `budget` allows, and a small batch, before
                this returns. The first request is then as fast as later ones, loading takes longer,
                and `report()` tells how much. Give a budget: "native" may allow 16,384 visual
                tokens.

        Raises:
            ModelLoadError: a subclass of it; the message says what is missing or does not fit, and
                what to try.
            AdapterError: the adapter does not fit, or was trained on another model, with another
                chat template or with another budget.
        """
        from qwenvl_kit.embedded import MODEL_FOLDER
        from qwenvl_kit.pipeline.opening import Opening

        model = MODEL_FOLDER if model is None else model
        opening = Opening(model, budget, media, calibrator, adapter=adapter, warm_up=warm_up)
        backend = load_local(
            model,
            source=source,
            revision=revision,
            offline=offline,
            dtype=dtype,
            device=device,
            quantization=quantization,
            attention=attention,
            compile=compile,
            cuda_graphs=cuda_graphs,
            adapter=adapter,
            max_cache_bytes=max_cache_bytes,
            max_queued_requests=max_queued_requests,
        )
        return opening.open(cls, backend)

    @classmethod
    def connect(
        cls,
        base_url: str,
        *,
        model: str | None = None,
        api_key: str | None = None,
        checkpoint: str | os.PathLike[str] | None = "auto",
        family: str | None = None,
        dialect: str | None = None,
        context_tokens: int | None = None,
        image_encoding: ImageEncoding = "auto",
        send_links: bool = False,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = 600.0,
        answer_timeout_seconds: float = 3600.0,
        setup_timeout_seconds: float = 600.0,
        use_environment_proxy: bool = False,
        max_retries: int = 4,
        max_concurrent_requests: int = 32,
        max_queued_requests: int = MAX_QUEUED_REQUESTS,
        budget: BudgetChoice = "native",
        media: MediaPolicy | None = None,
        calibrator: Calibrator | None = None,
    ) -> Self:
        """Use a model behind an OpenAI-compatible server: vLLM, SGLang, DashScope and others.

        Pictures are opened, checked and resized here, so budgets hold and the server gets no more
        pixels than the model sees. The abilities of the server are found out once, by two short
        questions; `report()` lists them.

        Args:
            base_url: the address of the API, such as "http://127.0.0.1:8000/v1".
            model: the name under which the server has the model; None takes the only one.
            api_key: the key for the server. It is never taken from the environment, which may hold
                the key of another server.
            checkpoint: the folder or hub id of the model's small files, with which prompts are
                counted exactly; without them they are estimated. "auto" uses the name that the
                server reports for the model, if that is the id of a repository on the hub: only
                small files are fetched, without credentials, and never from a folder of this
                machine. None uses no files.
            family: the model's family, such as "qwen2_5_vl", if neither the checkpoint nor the name
                tells it.
            dialect: the kind of server: "vllm", "sglang", "dashscope", "transformers" or "openai".
                None finds it out, except for `transformers serve`.
            context_tokens: the context of the model, prompt and answer together. None takes it from
                the server, else from the checkpoint, else 32,768.
            image_encoding: "png" (lossless), "jpeg" (quality 95), or "auto": the smaller one.
            send_links: True if the server should fetch pictures from the network itself. Only the
                header of each is fetched here, for its plan. Pictures that must be turned, cut or
                made smaller, or that have transparent parts, are fetched and sent all the same.
            headers: further headers of every request. Their values appear in no message, like the
                key, and no other server gets them: a redirect to one is an error.
            timeout_seconds: the longest silence of the server, from one byte to the next.
            answer_timeout_seconds: the longest time of a whole answer, from sending the request to
                the last byte, pauses and repeats included. `Sampling.max_seconds` ends a request
                earlier, and keeps the text so far.
            setup_timeout_seconds: the longest time of this call, with all its questions and
                everything that it looks up on the hub.
            use_environment_proxy: True if the proxy of the environment is used (`HTTPS_PROXY`,
                `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`). It then sees everything that is sent over
                http. It is never used for this machine itself.
            max_retries: the most repeats of a request that failed; the pauses between them grow, or
                are as long as the server says.
            max_concurrent_requests: the most requests that the server has at a time.
            max_queued_requests: the most requests that wait for that; a further one gets an
                OverloadError.
            budget: the visual tokens that pictures may take if a request does not say. The server's
                own limits hold in any case.
            media: the media policy: which files and URLs may be opened.
            calibrator: a `Calibrator`, which makes confidences match the share of right answers.

        Raises:
            ServerError: of a kind that says why the server gives no answer.
            ModelNotFoundError: the server has no such model, or several to choose from.
            UnknownFamilyError: nothing tells the model's family.
            MissingPackageError: the package openai is not installed.
            InputError: an argument cannot be used.
        """
        from qwenvl_kit.media.policy import as_policy
        from qwenvl_kit.options import as_budget

        budget, media = as_budget(budget), as_policy(media)
        backend = connect_to_server(
            base_url,
            model=model,
            api_key=api_key,
            checkpoint=checkpoint,
            family=family,
            dialect=dialect,
            context_tokens=context_tokens,
            image_encoding=image_encoding,
            send_links=send_links,
            headers=headers,
            timeout_seconds=timeout_seconds,
            answer_timeout_seconds=answer_timeout_seconds,
            setup_timeout_seconds=setup_timeout_seconds,
            use_environment_proxy=use_environment_proxy,
            max_retries=max_retries,
            max_concurrent_requests=max_concurrent_requests,
            max_queued_requests=max_queued_requests,
        )
        return cls(backend, budget=budget, media=media, calibrator=calibrator)

    @classmethod
    def from_vllm(
        cls,
        model: str | os.PathLike[str],
        *,
        source: Source = "huggingface",
        revision: str | None = None,
        offline: bool = False,
        adapter: str | os.PathLike[str] | None = None,
        budget: BudgetChoice | None = None,
        media: MediaPolicy | None = None,
        calibrator: CalibratorChoice = "auto",
        max_queued_requests: int = MAX_QUEUED_REQUESTS,
        **engine_args: Any,
    ) -> Self:
        """Load a model into vLLM, in this process.

        vLLM does the batching, caching and spreading over devices. Requests are given to it one by
        one, so a request that it refuses costs no other.

        Args:
            model: the folder of a checkpoint, or its id on a hub.
            source: see `from_pretrained`.
            revision: see `from_pretrained`.
            offline: see `from_pretrained`.
            adapter: the folder of a LoRA adapter, for which vLLM is started with adapters and
                enough rank; `adapters` loads more.
            budget: see `from_pretrained`. vLLM is
                started for pictures of this size, which shortens its start; a request whose own
                budget allows more is lowered to it, and its plan says so.
            media: the media policy: which files and URLs may be opened.
            calibrator: see `from_pretrained`.
            max_queued_requests: the most requests that wait for vLLM; a further one gets an
                OverloadError.
            engine_args: arguments for `vllm.LLM`: `tensor_parallel_size`, `max_model_len`,
                `gpu_memory_utilization`, `quantization`, `enable_lora`, `mm_processor_kwargs`,
                `distributed_executor_backend="ray"` for several machines, and others. Sizes in
                `mm_processor_kwargs` win over those that follow from the budget.

        Raises:
            MissingPackageError: vLLM is not installed.
            BudgetError: sizes in `mm_processor_kwargs` do not allow what the budget asks for.
            AdapterError: see `from_pretrained`.
            PlacementError: vLLM finds no device, or too little memory.
            ModelLoadError: of a kind that says what else is wrong.
        """
        from qwenvl_kit.pipeline.opening import Opening

        opening = Opening(model, budget, media, calibrator, adapter=adapter)
        backend = load_vllm(
            model,
            source=source,
            revision=revision,
            offline=offline,
            adapter=adapter,
            budget=opening.budget,
            max_queued_requests=max_queued_requests,
            **engine_args,
        )
        return opening.open(cls, backend)

    @classmethod
    def from_openvino(
        cls,
        folder: str | os.PathLike[str],
        *,
        dtype: str | torch.dtype = "auto",
        properties: Mapping[str, Any] | None = None,
        budget: BudgetChoice | None = None,
        media: MediaPolicy | None = None,
        calibrator: CalibratorChoice = "auto",
        max_cache_bytes: int | None = None,
        max_queued_requests: int = MAX_QUEUED_REQUESTS,
        warm_up: bool = False,
    ) -> Self:
        """Load a model that optimum-intel exported, and run it by OpenVINO on the processor.

        The export has its own environment; the guide "Servers" has the command. Qwen2-VL,
        Qwen2.5-VL and Qwen3-VL are run, with the weights as they were exported: fp32, fp16, 8-bit
        or 4-bit. Nothing is downloaded, and no code of the folder is run.

        Requests are batched, streamed, constrained and scored as by `from_pretrained`, and known
        beginnings of prompts are used again. There are no adapters, and no attention to look
        into: `explain` works by occlusion.

        Args:
            folder: the folder of the export, with config.json and the files of the processor.
            dtype: the type in which OpenVINO computes: "float32", "bfloat16", or "auto", which is
                its own choice for this processor. Keys and values are kept in it, too. In
                "bfloat16", and with 8-bit or 4-bit weights, an answer in a batch may differ from
                that of a single call where two tokens are nearly as likely.
            properties: properties of OpenVINO for compilation, such as
                `{"INFERENCE_NUM_THREADS": 8, "CACHE_DIR": "compiled"}`. They win over those of the
                kit: as many threads as torch has, one stream, and `KV_CACHE_PRECISION` as `dtype`.
            budget: see `from_pretrained`.
            media: the media policy: which files and URLs may be opened.
            calibrator: see `from_pretrained`.
            max_cache_bytes: see `from_pretrained`.
            max_queued_requests: the most requests that wait; a further one gets an OverloadError.
            warm_up: see `from_pretrained`.

        Raises:
            MissingPackageError: openvino is not installed.
            ModelNotFoundError: there is no such folder.
            CheckpointError: the folder holds no export, a part of one, or damaged files; the
                message has the command that exports.
            UnsupportedFeatureError: the model is of another family.
            PlacementError: the processor lacks the dtype, or there is too little memory.
        """
        from qwenvl_kit.pipeline.opening import Opening

        opening = Opening(folder, budget, media, calibrator, warm_up=warm_up)
        backend = load_openvino(
            folder,
            dtype=dtype,
            properties=properties,
            max_cache_bytes=max_cache_bytes,
            max_queued_requests=max_queued_requests,
        )
        return opening.open(cls, backend)

    def ask(
        self,
        prompt: RequestLike,
        *media: Media,
        sampling: Sampling | None = None,
        budget: BudgetChoice | None = None,
        fit: Fit | None = None,
        abstain_below: float | None = None,
        num_samples: int = 0,
        constraint: Constraint | None = None,
        tools: Sequence[Callable[..., Any]] = (),
        thinking: bool | None = None,
    ) -> Reply:
        """Answer one question or conversation.

        Args:
            prompt: a question; messages, as `Message` objects or as dicts in the form of Qwen's
                guides or of OpenAI's API; or a `Request`, whose own settings come first.
            media: pictures, videos and documents that the question is about. They are shown before
                the question.
            sampling: the generation settings; None takes those that the checkpoint was published
                with.
            budget: the visual tokens that pictures may take; None takes the chat's budget.
            fit: the treatment of a request that is longer than the model's context: "refuse" (the
                default) raises an error; "shrink" shows smaller pictures and fewer frames, and
                the reply's plan lists what was given up.
            abstain_below: the least confidence that the answer should have, in [0, 1];
                `Reply.is_abstained` is True if it has less.
            num_samples: the number of further answers to draw by sampling; `Reply.agreement` is
                the share of them that say the same.
            constraint: the form that the answer must have; the model can write nothing else.
            tools: functions that the model may call. `Reply.tool_calls` lists its calls;
                `run_tools` makes them.
            thinking: True if the model should think first, for checkpoints that can be switched,
                such as those of Qwen3.5; `Reply.thinking` holds the thoughts.

        Raises:
            InputError: the request cannot be used; the error says where, what was expected, and
                what to try.
            GenerationError: the model failed.
        """
        from qwenvl_kit.pipeline.inflight import RequestObserver

        settings = settings_of(sampling, budget, fit, abstain_below, constraint, tools, thinking)
        request = request_of(prompt, media, settings)
        if num_samples:
            return self._ask_with_samples(request, num_samples, RequestObserver())
        return self._begin(request, RequestObserver()).result()

    def stream(
        self,
        prompt: RequestLike,
        *media: Media,
        sampling: Sampling | None = None,
        budget: BudgetChoice | None = None,
        fit: Fit | None = None,
        abstain_below: float | None = None,
        constraint: Constraint | None = None,
        tools: Sequence[Callable[..., Any]] = (),
        thinking: bool | None = None,
    ) -> ReplyStream:
        """Answer one question or conversation, token by token.

        The arguments and errors are those of `ask`. A request that cannot be used raises its error
        here, before the first token. The stream carries the whole text that the model writes, tool
        calls and thoughts included; the `reply` at its end holds these separately.

        Example:
            with chat.stream("Describe this image.", "photo.jpg") as stream:
                for delta in stream:
                    print(delta.text, end="")
            print(stream.reply.confidence)
        """
        from qwenvl_kit.pipeline.streaming import ReplyStream

        settings = settings_of(sampling, budget, fit, abstain_below, constraint, tools, thinking)
        request = request_of(prompt, media, settings)
        return ReplyStream(lambda observer: self._begin(request, observer))

    async def ask_async(
        self,
        prompt: RequestLike,
        *media: Media,
        sampling: Sampling | None = None,
        budget: BudgetChoice | None = None,
        fit: Fit | None = None,
        abstain_below: float | None = None,
        num_samples: int = 0,
        constraint: Constraint | None = None,
        tools: Sequence[Callable[..., Any]] = (),
        thinking: bool | None = None,
    ) -> Reply:
        """Answer one question or conversation without blocking the event loop.

        Requests that are asked at the same time are answered in one batch. If the task is
        cancelled, the generation ends. The arguments and errors are those of `ask`.

        Raises:
            OverloadError: too many requests wait.
        """
        from qwenvl_kit.pipeline.awaiting import awaited
        from qwenvl_kit.pipeline.inflight import RequestObserver

        settings = settings_of(sampling, budget, fit, abstain_below, constraint, tools, thinking)
        request = request_of(prompt, media, settings)
        observer = RequestObserver()
        if num_samples:
            return await awaited(
                lambda: self._ask_with_samples(request, num_samples, observer), observer
            )
        return await awaited(lambda: self._begin(request, observer), observer)

    @overload
    def ask_many(
        self,
        requests: Iterable[RequestLike],
        *,
        sampling: Sampling | None = ...,
        budget: BudgetChoice | None = ...,
        fit: Fit | None = ...,
        on_error: Literal["raise"],
        abstain_below: float | None = ...,
        constraint: Constraint | None = ...,
        tools: Sequence[Callable[..., Any]] = ...,
        thinking: bool | None = ...,
        max_batch_size: int | None = ...,
        progress: bool = ...,
        journal: str | os.PathLike[str] | None = ...,
    ) -> list[Reply]: ...

    @overload
    def ask_many(
        self,
        requests: Iterable[RequestLike],
        *,
        sampling: Sampling | None = ...,
        budget: BudgetChoice | None = ...,
        fit: Fit | None = ...,
        on_error: OnError = ...,
        abstain_below: float | None = ...,
        constraint: Constraint | None = ...,
        tools: Sequence[Callable[..., Any]] = ...,
        thinking: bool | None = ...,
        max_batch_size: int | None = ...,
        progress: bool = ...,
        journal: str | os.PathLike[str] | None = ...,
    ) -> list[Result]: ...

    def ask_many(
        self,
        requests: Iterable[RequestLike],
        *,
        sampling: Sampling | None = None,
        budget: BudgetChoice | None = None,
        fit: Fit | None = None,
        on_error: OnError = "return",
        abstain_below: float | None = None,
        constraint: Constraint | None = None,
        tools: Sequence[Callable[..., Any]] = (),
        thinking: bool | None = None,
        max_batch_size: int | None = None,
        progress: bool = False,
        journal: str | os.PathLike[str] | None = None,
    ) -> Sequence[Result]:
        """Answer many requests, several at a time, each as if it were asked alone.

        Settings that `ask` has as well apply to the requests that do not set them.

        Args:
            requests: questions, conversations or `Request` objects. They are read when there is
                room for them, so an iterator may be endless.
            sampling: see `ask`.
            budget: see `ask`.
            fit: see `ask`.
            abstain_below: see `ask`.
            constraint: see `ask`.
            tools: see `ask`.
            thinking: see `ask`.
            on_error: "return" puts a `Failure` in the place of a request that fails; "raise" raises
                the first error, in the order of the requests.
            max_batch_size: the most requests in flight; None lets their memory decide.
            progress: True shows a progress bar.
            journal: a file to which each reply is written at once, under the id of its request or
                its place. A later call with the same file goes on from there.

        Returns:
            A `Reply` or `Failure` for each request, in their order.

        Raises:
            InputError: an argument of this call cannot be used.
            JournalError: the file cannot be used, or belongs to another model.
        """
        from qwenvl_kit.pipeline.batch import BatchRun, collect, counted, open_journal
        from qwenvl_kit.requests import check_batch

        defaults = settings_of(sampling, budget, fit, abstain_below, constraint, tools, thinking)
        check_batch(requests, defaults, on_error, max_batch_size)
        with self._slot.use() as use, open_journal(journal, use.pipeline.backend) as kept:
            run = BatchRun(requests, use, self._stats, kept, defaults, max_in_flight=max_batch_size)
            with counted(requests, is_shown=progress) as count, closing(run.events()) as events:
                return collect(events, on_error, count)

    def score(
        self,
        requests: Iterable[RequestLike],
        answers: Iterable[str],
        *,
        budget: BudgetChoice | None = None,
    ) -> list[list[Reply]]:
        """Score given answers: how probable each is as the answer to each of some requests.

        Nothing is sampled. Each prompt is read once for all of its answers, which are then scored
        many at a time, so that a thousand answers cost little more than their own tokens.

        Example:
            (replies,) = chat.score([Request.about("Which?", "pet.jpg")], ["cat", "dog"])
            print([reply.logprob for reply in replies])

        Args:
            requests: questions, conversations or `Request` objects.
            answers: texts that differ.
            budget: see `ask`.

        Returns:
            For each request a `Reply` for each answer, in their order. `reply.logprob` is that of
            the whole answer and of the token that ends it. One that has no room in the context has
            the `finish_reason` "length".

        Raises:
            SchemaError: there are no answers, or one is given twice or holds a special token. Those
                of places, such as `<|box_start|>`, a local model scores as it writes them.
            InputError: a request cannot be used.
        """
        from qwenvl_kit.pipeline.scoring import score_answers

        defaults = settings_of(None, budget, None, None, None, (), None)
        return score_answers(
            self._slot, self.ask_many, requests, answers, defaults, stats=self._stats
        )

    def stream_many(
        self,
        requests: Iterable[RequestLike],
        *,
        sampling: Sampling | None = None,
        budget: BudgetChoice | None = None,
        fit: Fit | None = None,
        abstain_below: float | None = None,
        constraint: Constraint | None = None,
        tools: Sequence[Callable[..., Any]] = (),
        thinking: bool | None = None,
        max_batch_size: int | None = None,
        journal: str | os.PathLike[str] | Journal | None = None,
    ) -> BatchStream:
        """Answer many requests, and give every token of them as it comes.

        The arguments are those of `ask_many`; `journal` may also be a `Journal` that is open, which
        stays open. A reply that it holds comes as a result at once. A request that fails is a
        `Failure` among the results.

        Example:
            with chat.stream_many(["What is a pixel?", "What is a voxel?"]) as stream:
                for event in stream:
                    if event.delta is not None:
                        print(event.index, event.delta.text)
            print(stream.results)
        """
        from qwenvl_kit.pipeline.streaming import BatchStream

        defaults = settings_of(sampling, budget, fit, abstain_below, constraint, tools, thinking)
        return BatchStream.begin(
            requests,
            defaults,
            self._slot,
            self._stats,
            max_in_flight=max_batch_size,
            journal=journal,
        )

    def plan(
        self,
        prompt: RequestLike,
        *media: Media,
        sampling: Sampling | None = None,
        budget: BudgetChoice | None = None,
        fit: Fit | None = None,
        constraint: Constraint | None = None,
        tools: Sequence[Callable[..., Any]] = (),
        thinking: bool | None = None,
    ) -> Plan:
        """The plan of `ask` with these arguments: sizes, frames, tokens and memory.

        No picture is decoded, and the model does not run.

        Raises:
            InputError: the request cannot be used. A request that is too long for the context or
                for the device's memory raises nothing: its plan says so, and what would help.
        """
        settings = settings_of(sampling, budget, fit, None, constraint, tools, thinking)
        request = request_of(prompt, media, settings)
        with self._slot.use() as use:
            return use.pipeline.plan(use.pipeline.resolve(request))

    def start(self, system: str | None = None) -> Conversation:
        """Begin a conversation that remembers its turns.

        Args:
            system: the instructions for all of it.
        """
        from qwenvl_kit.conversation import Conversation
        from qwenvl_kit.messages.message import Message

        messages = () if system is None else (Message.system(system),)
        return Conversation(self, messages)

    def run_tools(
        self,
        prompt: RequestLike,
        *media: Media,
        tools: Sequence[Callable[..., Any]] = (),
        sampling: Sampling | None = None,
        budget: BudgetChoice | None = None,
        fit: Fit | None = None,
        abstain_below: float | None = None,
        thinking: bool | None = None,
        max_rounds: int = 8,
    ) -> ToolRun:
        """Answer with the help of functions: make the calls that the model asks for, and go on.

        The arguments of a call are checked before the function runs. If the function raises an
        error, or does not exist, the model is told so. Results may hold pictures.

        Args:
            prompt: a question, messages or a `Request`.
            media: pictures and videos that the question is about.
            tools: functions with annotations and docstrings; they run in this thread.
            sampling: see `ask`.
            budget: see `ask`.
            fit: see `ask`.
            abstain_below: see `ask`.
            thinking: see `ask`.
            max_rounds: the most times that the model is asked.

        Raises:
            ToolError: a function cannot be a tool.
            ToolLimitError: the model still calls tools after so many rounds; the error has the
                `run`.
            InputError: the request cannot be used.
        """
        from qwenvl_kit.pipeline.tool_loop import run_tools

        settings = settings_of(sampling, budget, fit, abstain_below, None, tools, thinking)
        request = request_of(prompt, media, settings)
        return run_tools(self.ask, request, max_rounds)

    def watch(
        self,
        source: WatchSource,
        question: str,
        *,
        every_seconds: float = 5.0,
        window_seconds: float | None = None,
        max_frames: int = 16,
        sampling: Sampling | None = None,
        budget: BudgetChoice | None = None,
        fit: Fit | None = None,
        timeout_seconds: float = 30.0,
    ) -> Watch:
        """Ask the same question again and again about the newest frames of a source.

        Args:
            source: a video file, which is played at its own speed; the number of a camera; a
                `FrameSource`; or an iterator of frames.
            question: the question that is asked each time.
            every_seconds: the time from one question to the next. Questions that fall due while the
                model is busy are skipped.
            window_seconds: the time that the model sees, up to now; None takes `every_seconds`.
            max_frames: the most frames that the model sees at a time.
            sampling: the generation settings.
            budget: the visual tokens that each group of frames may take.
            fit: see `ask`.
            timeout_seconds: the longest time without a new frame; then the watch ends by an error.

        Returns:
            An iterator of `WatchEvent`, and a context manager that stops it.

        Raises:
            InputError: an argument cannot be used.
        """
        from qwenvl_kit.live import Watch

        return Watch(
            self,
            source,
            question,
            every_seconds=every_seconds,
            window_seconds=window_seconds,
            max_frames=max_frames,
            sampling=sampling,
            budget=budget,
            fit=fit,
            timeout_seconds=timeout_seconds,
        )

    def reload(
        self, model: str | os.PathLike[str] | VisionChat | None = None, **options: Any
    ) -> None:
        """Replace the model by another one while requests are in flight.

        Requests in flight end with the model that they began with; an `ask_many` does so for all of
        its requests. Later requests take the new model. The old model is closed after its last
        request; until then both are in memory. If the new model cannot be loaded, nothing changes.
        Statistics, listeners and conversations go on.

        Args:
            model: as for `from_pretrained`; or a chat, whose model is taken over. That chat must
                not be used or closed afterwards.
            options: those of `from_pretrained`. Budget and media policy are those that this chat
                was given, unless they are among the options.

        Raises:
            ModelLoadError: as `from_pretrained`.
        """
        if not isinstance(model, VisionChat):
            own: dict[str, Any] = {"media": self.policy}
            if self._pipeline.given_budget is not None:
                own["budget"] = self._pipeline.given_budget
            try:
                model = type(self).from_pretrained(model, **{**own, **options})
            except ArgumentError as error:
                error.rename(f"{type(self).__name__}.from_pretrained", "chat.reload")
                for name in own.keys() - options.keys():
                    error.rename(f"{name}=..., ", "")
                raise
        self._slot.replace(model._pipeline)

    @property
    def family(self) -> Family:
        """The model's family, with everything that is particular to it."""
        return self._backend.rules.family

    @property
    def policy(self) -> MediaPolicy:
        """The media policy: which files and URLs may be opened."""
        return self._pipeline.policy

    @property
    def default_budget(self) -> PixelBudget:
        """The visual tokens that pictures may take if a request does not say."""
        return self._pipeline.budget

    @property
    def default_sampling(self) -> Sampling:
        """The generation settings that the checkpoint was published with.

        They are used if a request has none. `dataclasses.replace(chat.default_sampling,
        max_new_tokens=64)` changes one of them.
        """
        return self._backend.default_sampling

    @property
    def calibrator(self) -> Calibrator | None:
        """Turns a confidence into the expected share of right answers; may be replaced."""
        return self._pipeline.calibrator

    @calibrator.setter
    def calibrator(self, calibrator: Calibrator | None) -> None:
        self._pipeline.calibrator = calibrator

    @property
    def adapters(self) -> AdapterSet:
        """LoRA adapters of the loaded model: load, switch, detach, merge.

        Raises:
            UnsupportedFeatureError: the backend has none.
        """
        from qwenvl_kit.pipeline.trained_budget import CheckedAdapters

        return CheckedAdapters(self._backend.adapters, self._pipeline)

    @property
    def listeners(self) -> Listeners:
        """The listeners that are told of each reply and failure; see `qwenvl_kit.telemetry`."""
        return self._pipeline.listeners

    def cache_info(self) -> CacheInfo:
        """The contents of the cache: computed prompts, pictures and videos that may be used again.

        Raises:
            UnsupportedFeatureError: the backend keeps nothing between requests.
        """
        return self._backend.cache_info()

    def clear_cache(self) -> int:
        """Empty the cache, and return the bytes that it took.

        Buffers of CUDA graphs are given back too, as soon as no request uses them.

        Raises:
            UnsupportedFeatureError: the backend keeps nothing between requests.
        """
        return self._backend.clear_cache()

    def stats(self) -> ChatStats:
        """Totals of all replies since this chat was made, and the time of each stage."""
        return self._stats.stats(self._backend.work())

    def health(self) -> Health:
        """The state of the chat: is it open, how many requests wait and run, the free memory."""
        from qwenvl_kit.pipeline.stats import health_of

        return health_of(self._backend, is_open=not self._pipeline.is_stopped)

    def report(self) -> Mapping[str, str]:
        """Everything that was decided when the model was loaded, in words."""
        return {**self._backend.report(), **self._pipeline.facts}

    def replay(self, reply: Reply, prompt: RequestLike, *media: Media) -> Replay:
        """Prepare the request of a reply once more, as it was executed; see `qwenvl_kit.explain`.

        Args:
            reply: the reply.
            prompt: the question, messages or `Request` that it answers, with its settings.
            media: the pictures and videos that it is about.

        Raises:
            InputError: this is not the request of the reply.
        """
        from qwenvl_kit.pipeline.replay import replay
        from qwenvl_kit.requests import Request

        return replay(self._slot, reply, Request.about(prompt, *media))

    def memory_report(self) -> MemoryReport:
        """The memory that the model takes: weights, cache, features, activations, peak.

        Example:
            with chat.memory_report() as report:
                chat.ask("What is this?", "photo.jpg")
            print(report)

        Returns:
            The memory of now; as a context manager, that of the block at its peak as well.
        """
        from qwenvl_kit.pipeline.memory_report import MemoryReport

        return MemoryReport(lambda: self._backend)

    def trace(self) -> Trace:
        """Record the requests of a `with` block as a timeline; see `qwenvl_kit.telemetry`.

        Example:
            with chat.trace() as trace:
                chat.ask("What is this?", "photo.jpg")
            print(trace)
            trace.save("trace.json")
        """
        from qwenvl_kit.pipeline.tracing import Trace

        return Trace(self._slot)

    def self_test(self) -> Diagnosis:
        """Ask the model questions whose answers can be checked.

        For any checkpoint: a batch gives the same tokens as single calls, a stream the same as
        `ask`, and a repeated question the same as the first time. (In bf16 and fp16 rounding may
        decide a near tie either way.) For a model in this process also its weights: each is a
        number and none wants a gradient, and a step with a cache gives what a pass without one
        does. For the embedded model also answers that are known in advance.

        Returns:
            One finding for each check; `is_healthy` if all passed.
        """
        from qwenvl_kit.pipeline.self_test import run_self_test

        return run_self_test(self, check_model=self._backend.check_model)

    def close(self, grace_seconds: float = 0.0) -> bool:
        """Take no more requests, and release the model and its memory.

        New requests get a ModelLoadError at once, and `health()` is not ready any more. Requests
        that the model already has are finished in any case.

        Args:
            grace_seconds: the time to wait for all requests in flight: in any thread, also those
                whose pictures are still being read. Streams and batches go on meanwhile.

        Returns:
            True if no request was in flight any more.

        Raises:
            InputError: grace_seconds is not a number of at least 0.
        """
        return self._pipeline.close(grace_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self, request: Request, observer: RequestObserver) -> InFlightRequest:
        """Prepare a request and submit it: the way of every single request."""
        from qwenvl_kit.pipeline.inflight import begin

        return begin(self._slot.use(), request, self._stats, observer)

    def _ask_with_samples(
        self, request: Request, num_samples: int, observer: RequestObserver
    ) -> Reply:
        from qwenvl_kit.pipeline.self_consistency import ask_with_samples

        with self._slot.use() as use:
            resolved = use.pipeline.resolve(request)
            return ask_with_samples(use.pipeline, self._stats, resolved, num_samples, observer)

    @property
    def _backend(self) -> Backend:
        return self._pipeline.backend

    @property
    def _pipeline(self) -> Pipeline:
        return self._slot.pipeline
