"""A run, from its examples to its folder: the steps of `fine_tune`."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import platform
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.trainer_callback import PrinterCallback

from qwenvl_kit.backends.local.error_mapping import is_out_of_memory
from qwenvl_kit.checkpoints.settings import Settings, read_settings
from qwenvl_kit.checkpoints.sources import Source
from qwenvl_kit.errors import QwenVLKitError, QwenVLKitWarning, TrainingError
from qwenvl_kit.hardware import release_free_memory
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.options import PixelBudget
from qwenvl_kit.training.checking import TooLong
from qwenvl_kit.training.examples.example import Example
from qwenvl_kit.training.launch.sharding import Sharding
from qwenvl_kit.training.loop.batches import BatchMaker
from qwenvl_kit.training.loop.data import Gathered, TrainingData, gather
from qwenvl_kit.training.loop.ending import keep_result
from qwenvl_kit.training.loop.features import FeatureEncoder, FeatureStore, MediaReader
from qwenvl_kit.training.loop.folder import RunFolder
from qwenvl_kit.training.loop.method import FullTraining
from qwenvl_kit.training.loop.network import (
    TrainedNetwork,
    load_trained_network,
    own_random_numbers,
)
from qwenvl_kit.training.loop.progress import Diary
from qwenvl_kit.training.loop.schedule import Step, in_batches, plan_steps
from qwenvl_kit.training.loop.settings import LoopSettings
from qwenvl_kit.training.loop.trainer import (
    Landmarks,
    StepTrainer,
    step_of,
)
from qwenvl_kit.training.outcome.comparing import compare_before_and_after
from qwenvl_kit.training.outcome.conditions import trained_with
from qwenvl_kit.training.outcome.loss_log import LossLog, read_losses
from qwenvl_kit.training.outcome.record import (
    RunData,
    RunRecord,
    RunSettings,
    described_method,
    now,
)
from qwenvl_kit.training.outcome.report import write_report
from qwenvl_kit.training.outcome.run import MODEL_FOLDER, TrainingRun, load_run
from qwenvl_kit.training.sequences.encoder import SequenceEncoder

_PACKAGES = ("qwenvl-kit", "torch", "transformers", "peft", "accelerate", "bitsandbytes", "pillow")
_MOST_ASKED = 16
"""The validation examples that are asked before and after, of which some are shown."""


@dataclass(frozen=True)
class Training:
    """All that decides a run apart from its examples; see `fine_tune`."""

    model: str | os.PathLike[str]
    is_embedded: bool
    output: str | os.PathLike[str]
    settings: LoopSettings
    budget: PixelBudget
    quantization: str | None
    dtype: str | torch.dtype
    device: str | torch.device
    attention: str
    policy: MediaPolicy
    source: Source
    revision: str | None
    offline: bool
    max_tokens: int | None
    too_long: TooLong
    num_shown: int
    progress: bool

    def run(
        self,
        examples: Iterable[Example],
        validation: float | Iterable[Example] | None,
        *,
        resume: bool,
    ) -> TrainingRun:
        """Train, and return the run; one that is finished already is returned as it is."""
        encoder = self.encoder
        data = gather(
            examples,
            validation,
            encoder,
            policy=self.policy,
            max_tokens=self.max_tokens,
            too_long=self.too_long,
            progress=self.progress and self._is_main,
        )
        self._tell_overlap(data)
        self._sharding.check(self.settings.method.parts, data.report.visual_tokens)
        with own_random_numbers():
            steps = self._plan(data.training)
            record = self._record(data, validation)
            folder = RunFolder(Path(self.output), writes=self._is_main)
            before = folder.record_before(record, resume=resume)
            if before is not None:
                if before.state == "finished":
                    return load_run(folder.path)
                record = replace(record, begun=before.begun)
            with folder.recorded(record):
                dtype = self._train(data, steps, folder)
                if self._is_main:
                    self._keep(folder, record, dtype)
            if self._is_main:
                self._report(data, folder)
        self._wait()
        return load_run(folder.path)

    # The parts of a run

    @cached_property
    def encoder(self) -> SequenceEncoder:
        """The encoder of examples."""
        return SequenceEncoder.of(
            self.model,
            policy=self.policy,
            budget=self.budget,
            source=self.source,
            revision=self.revision,
            offline=self.offline,
        )

    @cached_property
    def _config(self) -> Settings:
        return read_settings(self.encoder.checkpoint.folder)

    def _plan(self, data: TrainingData) -> tuple[Step, ...]:
        settings = self.settings
        if settings.packing:
            _check_packing(self._config)
        return plan_steps(
            data.lengths,
            data.weights,
            epochs=settings.epochs,
            tokens_per_batch=settings.tokens_per_batch,
            batches_per_step=self._batches_per_step,
            seed=settings.seed,
            packing=settings.packing,
        )

    def _train(self, data: Gathered, steps: tuple[Step, ...], folder: RunFolder) -> str:
        """Go through all steps that are left; return the dtype of the weights."""
        start = folder.last_checkpoint
        network = self._load()
        with _refusals():
            trainer = self._trainer(network, data, steps, folder)
        for callback in trainer.callback_handler.callbacks:
            if isinstance(callback, PrinterCallback):
                trainer.remove_callback(callback)
        losses = None
        if self._is_main:  # one process writes: another would put a new file in its place
            losses = LossLog(folder.path, resumed_after=step_of(start) if start else 0)
        with contextlib.ExitStack() as stack:
            diary = Diary(losses, shows=self.progress and self._is_main)
            stack.callback(diary.close)
            stack.enter_context(_memory_told())
            trainer.add_callback(diary)
            trainer.train(resume_from_checkpoint=None if start is None else str(start))
        dtype = str(network.base.dtype).removeprefix("torch.")
        del trainer, network
        gc.collect()
        release_free_memory()
        return dtype

    def _keep(self, folder: RunFolder, record: RunRecord, dtype: str) -> None:
        """Put what was learned where a chat loads it."""
        conditions = trained_with(
            self.encoder.published,
            self.budget,
            method=record.settings.method["name"],
            data=record.data.training,
            dtype=dtype,
            quantization=self.quantization,
        )
        keep_result(
            folder.path,
            record,
            read_losses(folder.path),
            conditions,
            self.encoder.checkpoint.folder,
        )

    def _load(self) -> TrainedNetwork:
        network = load_trained_network(
            self.encoder.checkpoint,
            self._config,
            self.settings.method,
            dtype=self.dtype,
            device=self._arguments.device if self.device == "auto" else self.device,
            quantization=self.quantization,
            attention=self.attention,
            checkpointing=self.settings.checkpointing,
            offline=self.offline,
            seed=self.settings.seed,
        )
        network.base.name_or_path = "" if self.is_embedded else self.encoder.checkpoint.name
        return network

    def _trainer(
        self,
        network: TrainedNetwork,
        data: Gathered,
        steps: tuple[Step, ...],
        folder: RunFolder,
    ) -> StepTrainer:
        settings, encoder = self.settings, self.encoder
        store = reader = features = None
        if network.sees_frozen and settings.feature_bytes and not self._sharding.strategy:
            store = FeatureStore(
                folder.path / "features", settings.feature_bytes, self._fingerprint(network)
            )
            reader = MediaReader(encoder, self.policy, store)
            features = FeatureEncoder(network.base, store)
        held = data.validation
        arguments = replace_arguments(
            self._arguments,
            learning_rate=max(settings.learning_rates.values()),
            warmup_steps=int(settings.warmup * len(steps)),
            ddp_find_unused_parameters=not network.sees_frozen,
        )
        return StepTrainer(
            network,
            arguments,
            steps=steps,
            maker=BatchMaker(data.training, encoder, reader, packing=settings.packing),
            validation=BatchMaker(held or data.training, encoder, reader),
            validation_batches=(
                () if held is None else in_batches(held.lengths, settings.tokens_per_batch)
            ),
            features=features,
            learning_rates=settings.learning_rates,
            workers=settings.workers,
            callbacks=[
                Landmarks(
                    steps,
                    evaluates=held is not None,
                    evaluate_every=settings.evaluate_every,
                    save_every=settings.save_every,
                    patience=settings.early_stopping,
                )
            ],
        )

    def _fingerprint(self, network: TrainedNetwork) -> str:
        """A digest of all that vision features depend on beside the picture: weights and dtype."""
        folder = self.encoder.checkpoint.folder
        files = sorted(
            (path.name, path.stat().st_size, path.stat().st_mtime_ns)
            for path in folder.glob("*.safetensors")
        )
        told = f"{files} {self.encoder.checkpoint.revision} {network.base.dtype}"
        return hashlib.sha256(f"{told} {self.quantization}".encode()).hexdigest()

    # Processes

    @cached_property
    def _arguments(self) -> transformers.TrainingArguments:
        """The arguments of transformers; making them joins the processes of the training."""
        settings = self.settings
        is_alone = not torch.accelerator.is_available()
        on_processor = is_alone or str(self.device).startswith("cpu")
        is_one_of_several = int(os.environ.get("WORLD_SIZE", "1")) > 1
        own: dict[str, Any] = {"ddp_backend": "gloo"} if on_processor and is_one_of_several else {}
        with _refusals():
            arguments = transformers.TrainingArguments(
                output_dir=os.fspath(self.output),
                per_device_train_batch_size=1,
                gradient_accumulation_steps=settings.accumulation,
                num_train_epochs=1,
                lr_scheduler_type=_SCHEDULES[settings.schedule],
                weight_decay=settings.weight_decay,
                max_grad_norm=settings.max_grad_norm,
                seed=settings.seed,
                save_strategy="no",
                eval_strategy="no",
                logging_strategy="no",
                logging_nan_inf_filter=False,
                save_total_limit=settings.keep_checkpoints,
                report_to=list(settings.report_to),
                disable_tqdm=True,
                use_cpu=on_processor,
                remove_unused_columns=False,
                bf16=self._computes_in_bf16(on_processor),
                **own,
                **settings.trainer_options,
            )
        arguments._n_gpu = min(1, arguments.n_gpu)  # several are for several processes
        return arguments

    def _computes_in_bf16(self, on_processor: bool) -> bool:
        """True if whole weights, which learn in fp32, are multiplied in bf16."""
        is_full = isinstance(self.settings.method, FullTraining) and self.dtype == "auto"
        return is_full and not on_processor and torch.cuda.is_bf16_supported()

    @property
    def _is_main(self) -> bool:
        return bool(self._arguments.process_index == 0)

    @property
    def _batches_per_step(self) -> int:
        return self.settings.accumulation * int(self._arguments.world_size)

    @cached_property
    def _sharding(self) -> Sharding:
        return Sharding.of(self._arguments)

    def _wait(self) -> None:
        if self._arguments.world_size > 1:
            torch.distributed.barrier()

    # What is told

    def _tell_overlap(self, data: Gathered) -> None:
        if data.report.overlap and self._is_main:
            first = data.report.overlap[0]
            warnings.warn(
                f"{len(data.report.overlap)} validation examples ask what is trained: {first}",
                QwenVLKitWarning,
                stacklevel=4,
            )

    def _record(self, data: Gathered, validation: float | Iterable[Example] | None) -> RunRecord:
        settings, held, checkpoint = self.settings, data.validation, self.encoder.checkpoint
        rate = settings.learning_rate
        share = validation if isinstance(validation, (int, float)) else None
        return RunRecord(
            settings=RunSettings(
                model=None if self.is_embedded else os.fspath(self.model),
                revision=checkpoint.revision,
                source=self.source,
                family=self._config.family.model_type,
                method=described_method(settings.method),
                budget=self.budget,
                quantization=self.quantization,
                learning_rate=dict(rate.items()) if isinstance(rate, Mapping) else rate,
                epochs=settings.epochs,
                tokens_per_batch=settings.tokens_per_batch,
                batches_per_step=self._batches_per_step,
                packing=settings.packing,
                max_tokens=self.max_tokens,
                too_long=self.too_long,
                warmup=settings.warmup,
                schedule=settings.schedule,
                weight_decay=settings.weight_decay,
                max_grad_norm=settings.max_grad_norm,
                early_stopping=settings.early_stopping,
                evaluate_every=settings.evaluate_every,
                seed=settings.seed,
                dtype=str(self.dtype).removeprefix("torch."),
                attention=self.attention,
                trainer_options=dict(settings.trainer_options),
            ),
            data=RunData(
                training=data.training.digest,
                validation=None if held is None else held.digest,
                validation_share=share,
                num_examples=data.training.num_examples,
                num_sequences=len(data.training),
                num_tokens=sum(data.training.lengths),
                num_trained_tokens=sum(e.num_trained for e in data.training.entries),
                num_validation_examples=0 if held is None else held.num_examples,
                num_skipped=len(data.report.skipped),
            ),
            versions={"python": platform.python_version(), **_versions()},
            hardware=self._hardware(),
            begun=now(),
        )

    def _hardware(self) -> dict[str, str]:
        device = self._arguments.device
        name = platform.processor() or platform.machine()
        if device.type == "cuda":
            name = torch.cuda.get_device_name(device)
        return {"device": f"{device.type}: {name}", "processes": str(self._arguments.world_size)}

    def _report(self, data: Gathered, folder: RunFolder) -> None:
        """Ask validation examples before and after; a failure here costs the report alone."""
        if data.validation is None or self.num_shown < 1:
            return
        from itertools import islice

        from qwenvl_kit.chat import VisionChat

        options: dict[str, Any] = {
            "source": self.source,
            "revision": self.revision,
            "offline": self.offline,
            "dtype": self.dtype,
            "device": self.device,
            "quantization": self.quantization,
            "attention": self.attention,
            "media": self.policy,
            "calibrator": None,
        }
        asked = list(islice(data.validation.examples(), _MOST_ASKED))
        run = load_run(folder.path)
        try:
            with contextlib.ExitStack() as stack:
                if run.adapter is not None:
                    chat = VisionChat.from_pretrained(self.model, adapter=run.adapter, **options)
                    before = None
                else:
                    chat = VisionChat.from_pretrained(folder.path / MODEL_FOLDER, **options)
                    before = VisionChat.from_pretrained(self.model, **options)
                    stack.callback(before.close)
                stack.callback(chat.close)
                report = compare_before_and_after(
                    chat, asked, before=before, num_shown=self.num_shown
                )
        except Exception as error:  # hours of training must not end with this
            warnings.warn(
                f"no answers before and after could be had: {error}", QwenVLKitWarning, stacklevel=4
            )
            return
        write_report(folder.path, report)


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Turn what transformers says of its arguments within the block into an error of the kit.

    Raises:
        TrainingError: an option is out of range, or a package that it needs is missing.
    """
    try:
        yield
    except QwenVLKitError:
        raise
    except (ValueError, TypeError, ImportError, RuntimeError, OSError) as error:
        said = " ".join(str(error).split())[:300]
        raise TrainingError(
            f"transformers refuses the settings ({said})",
            hint="trainer_options and report_to, whose values it checks itself",
        ) from error


@contextlib.contextmanager
def _memory_told() -> Iterator[None]:
    """Say what to try if memory runs out within the block.

    Raises:
        TrainingError: it has run out. The checkpoints stay.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            f"memory ran out ({error})",
            hint="a smaller tokens_per_batch with more accumulation, gradient_checkpointing=True, "
            "a smaller budget, or quantization='4bit'; then the last checkpoint is of no use, as "
            "settings differ: take another folder",
        ) from error


def _check_packing(config: Settings) -> None:
    """Check that sequences in one row do not see one another.

    Raises:
        TrainingError: the model has layers that carry a state from one to the next.
    """
    kinds = {*(config.text.get("layer_types") or ())}
    if "linear_attention" in kinds or ".linear_attn." in config.family.tensor_name_parts:
        raise TrainingError(
            f"packing=True was given for {config.family.model_type}, whose recurrent layers would "
            "carry one example into the next",
            hint="packing=False; batches are grouped by length all the same",
        )


_SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


def replace_arguments(
    arguments: transformers.TrainingArguments, **values: Any
) -> transformers.TrainingArguments:
    """The same arguments with other values, without joining the processes again."""
    for name, value in values.items():
        setattr(arguments, name, value)
    return arguments


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
