"""The ways to a model: in this process, in vLLM, or behind a server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from qwenvl_kit.arguments.checks import tells_arguments
from qwenvl_kit.backends import connect_to_server, load_local, load_vllm
from qwenvl_kit.backends.base import MAX_QUEUED_REQUESTS, Backend
from qwenvl_kit.checkpoints.sources import Source
from qwenvl_kit.embedded import MODEL_FOLDER
from qwenvl_kit.errors import InputError
from qwenvl_kit.media.policy import DEFAULT_POLICY, MediaPolicy
from qwenvl_kit.options import BudgetChoice, as_budget
from qwenvl_kit.talking import Talking

if TYPE_CHECKING:
    import torch
    from typing_extensions import Self

    from qwenvl_kit.calibration import Calibrator

    CalibratorChoice = Calibrator | str | os.PathLike[str] | None
    ImageEncoding = Literal["auto", "png", "jpeg"]


@tells_arguments
class Opening(Talking):
    """Opens a model; the constructors of a `VisionChat`, which has the arguments of its own."""

    def __init__(
        self,
        backend: Backend,
        *,
        budget: BudgetChoice = "native",
        media: MediaPolicy | None = None,
        calibrator: Calibrator | None = None,
    ) -> None:
        if not isinstance(backend, Backend):
            raise InputError(
                f"a {type(backend).__name__} was given as the backend",
                expected="a Backend, such as ScriptedBackend",
                hint="VisionChat.from_pretrained(...), which loads a model by its id or folder",
            )
        super().__init__(backend, as_budget(budget), _checked_policy(media), calibrator)

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
        adapter: str | os.PathLike[str] | None = None,
        budget: BudgetChoice = "native",
        media: MediaPolicy | None = None,
        calibrator: CalibratorChoice = "auto",
        max_cache_bytes: int | None = None,
        max_queued_requests: int = MAX_QUEUED_REQUESTS,
    ) -> Self:
        """Load a model into this process.

        What was decided, and why, stands in `report()`. Weights come from safetensors files
        alone, and no code of a checkpoint is ever run.

        Args:
            model: a checkpoint's folder or its id on a hub; None loads the small model that is
                part of this package, offline.
            source: the hub that an id is of: "huggingface" or "modelscope".
            revision: branch, tag or commit on the hub; all files are of one commit.
            offline: take only what has been fetched before.
            dtype: "auto" (bf16 on a device that has it, else fp32; fp16 only where a checkpoint
                was published quantised in it), or a torch type or its name.
            device: "auto" (one GPU if it holds the weights, several if it takes them, the
                processor only where there is no GPU), or a torch device.
            quantization: "4bit" (NF4) or "8bit" by bitsandbytes, the vision encoder left whole.
                Checkpoints that are published quantised are recognised without it.
            attention: "auto" (FlashAttention 2 where it works, else torch's own), or an attention
                implementation of transformers.
            compile: have torch compile parts of the model when it first runs; "auto" does where
                that was measured to pay.
            adapter: a folder with a LoRA adapter; `adapters` loads more of them.
            budget: what pictures may cost where a request does not say.
            media: what may be opened.
            calibrator: what makes confidences of how sure the model was: a `Calibrator` or a file
                that one was saved to; "auto" takes `calibration.json` in the model's folder, if
                there is one; None leaves them as they are.
            max_cache_bytes: what pictures, videos and prompts that were computed may take in the
                device's memory, to be used again; None takes an eighth of what is free once the
                model is loaded, 2 GiB at most; 0 keeps nothing.
            max_queued_requests: most requests that wait while others run; more are refused.

        Raises:
            ModelLoadError: of a kind that says what is missing or does not fit, and what to try.
        """
        # A misspelt setting should not cost a minute of loading.
        budget, media = as_budget(budget), _checked_policy(media)
        model = MODEL_FOLDER if model is None else model
        calibrator = _loaded_calibrator(calibrator, model)
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
            adapter=adapter,
            max_cache_bytes=max_cache_bytes,
            max_queued_requests=max_queued_requests,
        )
        return cls(backend, budget=budget, media=media, calibrator=calibrator)

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
        """Have requests answered by an OpenAI-compatible server: vLLM, SGLang, DashScope, others.

        Pictures are opened, judged and resized here, so that budgets hold and the server never
        sees more than the model does. What the server can and cannot do is found out once, and
        stands in `report()`; two short questions are asked for it.

        Args:
            base_url: of the API, such as "http://127.0.0.1:8000/v1".
            model: the name under which it serves the model; None takes the only one.
            api_key: what the server wants to see. It is never taken from the environment, which
                may hold that of another server.
            checkpoint: where the model's small files are, a folder or hub id: with them prompts
                are counted, without them estimated. "auto" looks on the hub for what the server
                says that its model comes from, if that is the id of a repository: without
                credentials, for small files alone, and never in a folder of this machine. None
                does without.
            family: the model's family, such as "qwen2_5_vl", where neither checkpoint nor name
                tells it.
            dialect: what the server speaks beside OpenAI's API: "vllm", "sglang", "dashscope",
                "transformers" or "openai"; None finds out, which of `transformers serve` cannot be.
            context_tokens: prompt and answer together; None takes what the server says, or the
                checkpoint, or else 32,768.
            image_encoding: "png" (without loss), "jpeg" (of quality 95), or "auto": the smaller.
            send_links: have the server fetch pictures on the network by itself. Of each the header
                is fetched here, for its plan; what is to be turned, cut or made smaller than the
                server would, or has transparent parts, is fetched and sent all the same.
            headers: what every request carries beside. As the key, their values are no part of a
                message, and no other server is sent them: a redirect to one is an error.
            timeout_seconds: how long the server may say nothing: from one byte to the next.
            answer_timeout_seconds: how long an answer may take as a whole, from the moment at which
                it is sent to the last byte: pauses, repeats and scores included, comments and
                empty events too. `Sampling.max_seconds` ends a request earlier, with what there is.
            setup_timeout_seconds: how long this call may take to find out what the server is, all
                of its questions and what it looks up on the hub together.
            use_environment_proxy: whether to go by the proxy that the environment names
                (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`), which then sees what is
                sent over http; never for this machine itself.
            max_retries: how often a request that came to nothing is repeated, after pauses that
                grow, or as long as the server says.
            max_concurrent_requests: most that the server has at a time.
            max_queued_requests: most that wait for that; more are refused.
            budget: what pictures may cost where a request does not say. The server's own limits
                hold whatever is asked for.
            media: what may be opened.
            calibrator: what makes confidences of how sure the model was.

        Raises:
            ServerError: of a kind that says why the server gives no answer.
            ModelNotFoundError: it serves no such model, or several to choose from.
            UnknownFamilyError: nothing tells the model's family.
            MissingPackageError: the package openai is not installed.
            InputError: an argument cannot be used.
        """
        budget, media = as_budget(budget), _checked_policy(media)
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
        budget: BudgetChoice = "native",
        media: MediaPolicy | None = None,
        calibrator: CalibratorChoice = "auto",
        max_queued_requests: int = MAX_QUEUED_REQUESTS,
        **engine_args: Any,
    ) -> Self:
        """Load a model into vLLM, in this process.

        vLLM batches, caches and spreads as it does; what is asked is given to it request by
        request, so that one which it refuses costs no other.

        Args:
            model: a checkpoint's folder or its id on a hub.
            source: see `from_pretrained`.
            revision: likewise.
            offline: likewise.
            budget: what pictures may cost where a request does not say. vLLM resizes once more, by
                the checkpoint's limits or those of `mm_processor_kwargs`: they hold in any case.
            media: what may be opened.
            calibrator: see `from_pretrained`.
            max_queued_requests: most requests that wait to be given to vLLM; more are refused.
            engine_args: passed on to `vllm.LLM`: `tensor_parallel_size`, `max_model_len`,
                `gpu_memory_utilization`, `quantization`, `enable_lora`, `mm_processor_kwargs`,
                `distributed_executor_backend="ray"` for several machines, and others.

        Raises:
            MissingPackageError: vLLM is not installed.
            PlacementError: it finds no device, or too little memory.
            ModelLoadError: of a kind that says what else is wrong.
        """
        budget, media = as_budget(budget), _checked_policy(media)
        calibrator = _loaded_calibrator(calibrator, model)
        backend = load_vllm(
            model,
            source=source,
            revision=revision,
            offline=offline,
            max_queued_requests=max_queued_requests,
            **engine_args,
        )
        return cls(backend, budget=budget, media=media, calibrator=calibrator)


def _checked_policy(policy: object) -> MediaPolicy:
    if policy is None:
        return DEFAULT_POLICY
    if not isinstance(policy, MediaPolicy):
        raise InputError(f"media={policy!r} was given", expected="a MediaPolicy")
    return policy


def _loaded_calibrator(
    choice: CalibratorChoice, model: str | os.PathLike[str]
) -> Calibrator | None:
    """The calibrator that was chosen, or that lies beside the model."""
    if choice is None:
        return None
    from qwenvl_kit.calibration.files import load_calibrator

    return load_calibrator(choice, model)
