"""A run, from its examples to its folder: the steps of `fine_tune`."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import warnings
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from transformers.trainer_callback import PrinterCallback, TrainerState

from qwenvl_kit.checkpoints.settings import Settings, read_settings
from qwenvl_kit.errors import QwenVLKitWarning, TrainingError
from qwenvl_kit.hardware import release_free_memory
from qwenvl_kit.training.examples.example import Example
from qwenvl_kit.training.loop.batches import BatchMaker
from qwenvl_kit.training.loop.data import Gathered, TrainingData, gather
from qwenvl_kit.training.loop.description import describe_run
from qwenvl_kit.training.loop.ending import keep_result
from qwenvl_kit.training.loop.features import FeatureEncoder, FeatureStore, MediaReader
from qwenvl_kit.training.loop.folder import RunFolder
from qwenvl_kit.training.loop.network import (
    TrainedNetwork,
    load_trained_network,
    own_random_numbers,
)
from qwenvl_kit.training.loop.plan import TrainingPlan
from qwenvl_kit.training.loop.processes import Processes, memory_told, refusals_told
from qwenvl_kit.training.loop.progress import Diary
from qwenvl_kit.training.loop.schedule import Step, in_batches, plan_steps
from qwenvl_kit.training.loop.trainer import STATE_FILE, Landmarks, StepTrainer, step_of
from qwenvl_kit.training.outcome.comparing import compare_before_and_after
from qwenvl_kit.training.outcome.conditions import trained_with
from qwenvl_kit.training.outcome.loss_log import LossLog, read_losses
from qwenvl_kit.training.outcome.record import RunRecord
from qwenvl_kit.training.outcome.report import REPORT_FILE, write_report
from qwenvl_kit.training.outcome.run import MODEL_FOLDER, TrainingRun, load_run
from qwenvl_kit.training.sequences.encoder import SequenceEncoder

_MOST_ASKED = 16
"""The validation examples that are asked before and after, of which some are shown."""


class Training:
    """A training that goes by a plan.

    Args:
        plan: the plan.
    """

    def __init__(self, plan: TrainingPlan) -> None:
        self._plan = plan
        self._encoder = SequenceEncoder.of(
            plan.model,
            policy=plan.policy,
            budget=plan.budget,
            source=plan.source,
            revision=plan.revision,
            offline=plan.offline,
        )
        self._checkpoint = self._encoder.checkpoint
        self._processes = Processes(plan)
        self._shows = plan.progress and self._processes.is_main

    def run(
        self,
        examples: Iterable[Example],
        validation: float | Iterable[Example] | None,
        *,
        resume: bool,
    ) -> TrainingRun:
        """Train, and return the run; one that is finished already is returned as it is."""
        plan, processes = self._plan, self._processes
        data = gather(
            examples,
            validation,
            self._encoder,
            policy=plan.policy,
            max_tokens=plan.max_tokens,
            too_long=plan.too_long,
            progress=self._shows,
        )
        self._tell_overlap(data)
        processes.sharding.check(plan.settings.method.parts, data.report.visual_tokens)
        with own_random_numbers():
            steps = self._steps(data.training)
            record = describe_run(
                plan,
                data,
                processes,
                checkpoint=self._checkpoint,
                family=self._config.family.model_type,
                validation=validation,
            )
            folder = RunFolder(Path(plan.output), writes=processes.is_main)
            before = folder.record_before(record, resume=resume)
            if before is not None:
                if before.state == "finished":
                    if processes.is_main and not (folder.path / REPORT_FILE).exists():
                        self._report(data, folder)
                    return load_run(folder.path)
                record = replace(record, begun=before.begun)
            processes.wait()  # all have looked at the folder before one writes to it
            with folder.recorded(record):
                dtype = self._train(data, steps, folder)
                if processes.is_main:
                    self._keep(folder, record, dtype)
            processes.wait()
            if processes.is_main:
                self._report(data, folder)
        return load_run(folder.path)

    # The parts of a run

    @cached_property
    def _config(self) -> Settings:
        return read_settings(self._checkpoint.folder)

    def _steps(self, data: TrainingData) -> tuple[Step, ...]:
        settings = self._plan.settings
        if settings.packing:
            _check_packing(self._config)
        return plan_steps(
            data.lengths,
            data.weights,
            epochs=settings.epochs,
            tokens_per_batch=settings.tokens_per_batch,
            batches_per_step=self._processes.batches_per_step,
            seed=settings.seed,
            packing=settings.packing,
        )

    def _train(self, data: Gathered, steps: tuple[Step, ...], folder: RunFolder) -> str:
        """Go through all steps that are left; return the dtype of the weights."""
        start = folder.last_checkpoint
        network = self._load()
        landmarks = self._landmarks(data, steps)
        with memory_told(), refusals_told():
            trainer = self._trainer(network, data, steps, folder, landmarks)
        for callback in trainer.callback_handler.callbacks:
            if isinstance(callback, PrinterCallback):
                trainer.remove_callback(callback)
        losses = None
        if self._processes.is_main:  # one process writes: another would put a new file in its place
            losses = LossLog(folder.path, resumed_after=step_of(start) if start else 0)
        with contextlib.ExitStack() as stack:
            diary = Diary(losses, shows=self._shows)
            stack.callback(diary.close)
            stack.enter_context(memory_told())
            trainer.add_callback(diary)
            if start is None:
                trainer.train()
            elif not landmarks.are_over(_log_of(start)):
                trainer.train(resume_from_checkpoint=str(start))
        dtype = str(network.base.dtype).removeprefix("torch.")
        del trainer, network
        gc.collect()
        release_free_memory()
        return dtype

    def _keep(self, folder: RunFolder, record: RunRecord, dtype: str) -> None:
        """Put what was learned where a chat loads it."""
        conditions = trained_with(
            self._encoder.published,
            self._plan.budget,
            method=record.settings.method["name"],
            data=record.data.training,
            dtype=dtype,
            quantization=self._plan.quantization,
        )
        keep_result(
            folder.path,
            record,
            read_losses(folder.path),
            conditions,
            self._checkpoint.folder,
        )

    def _load(self) -> TrainedNetwork:
        plan = self._plan
        network = load_trained_network(
            self._checkpoint,
            self._config,
            plan.settings.method,
            dtype=plan.dtype,
            device=self._processes.arguments.device if plan.device == "auto" else plan.device,
            quantization=self._plan.quantization,
            attention=plan.attention,
            checkpointing=plan.settings.checkpointing,
            offline=plan.offline,
            seed=plan.settings.seed,
        )
        network.base.name_or_path = "" if plan.is_embedded else self._checkpoint.name
        return network

    def _trainer(
        self,
        network: TrainedNetwork,
        data: Gathered,
        steps: tuple[Step, ...],
        folder: RunFolder,
        landmarks: Landmarks,
    ) -> StepTrainer:
        settings, encoder = self._plan.settings, self._encoder
        store = reader = features = None
        if network.sees_frozen and settings.feature_bytes and not self._processes.sharding.strategy:
            store = FeatureStore(
                folder.path / "features", settings.feature_bytes, self._fingerprint(network)
            )
            reader = MediaReader(encoder, self._plan.policy, store)
            features = FeatureEncoder(network.base, store)
        held = data.validation
        arguments = self._processes.arguments
        arguments.learning_rate = max(settings.learning_rates.values())
        arguments.warmup_steps = int(settings.warmup * len(steps))
        arguments.ddp_find_unused_parameters = not network.sees_frozen
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
            keep_checkpoints=settings.keep_checkpoints,
            callbacks=[landmarks],
        )

    def _landmarks(self, data: Gathered, steps: tuple[Step, ...]) -> Landmarks:
        settings = self._plan.settings
        return Landmarks(
            steps,
            evaluates=data.validation is not None,
            evaluate_every=settings.evaluate_every,
            save_every=settings.save_every,
            patience=settings.early_stopping,
        )

    def _fingerprint(self, network: TrainedNetwork) -> str:
        """A digest of all that vision features depend on beside the picture: weights and dtype."""
        folder = self._checkpoint.folder
        files = sorted(
            (path.name, path.stat().st_size, path.stat().st_mtime_ns)
            for path in folder.glob("*.safetensors")
        )
        told = f"{files} {self._checkpoint.revision} {network.base.dtype}"
        return hashlib.sha256(f"{told} {self._plan.quantization}".encode()).hexdigest()

    # What is told

    def _tell_overlap(self, data: Gathered) -> None:
        if data.report.overlap and self._processes.is_main:
            first = data.report.overlap[0]
            warnings.warn(
                f"{len(data.report.overlap)} validation examples ask what is trained: {first}",
                QwenVLKitWarning,
                stacklevel=4,
            )

    def _report(self, data: Gathered, folder: RunFolder) -> None:
        """Ask validation examples before and after; a failure here costs the report alone."""
        plan = self._plan
        if data.validation is None or plan.num_shown < 1:
            return
        from qwenvl_kit.chat import VisionChat

        options: dict[str, Any] = {
            "source": plan.source,
            "revision": plan.revision,
            "offline": plan.offline,
            "dtype": plan.dtype,
            "device": plan.device,
            "quantization": plan.quantization,
            "attention": plan.attention,
            "media": plan.policy,
            "calibrator": None,
        }
        asked = list(islice(data.validation.examples(), _MOST_ASKED))
        run = load_run(folder.path)
        try:
            with contextlib.ExitStack() as stack:
                if run.adapter is not None:
                    chat = VisionChat.from_pretrained(plan.model, adapter=run.adapter, **options)
                    before = None
                else:
                    own = {**options, "source": "huggingface", "revision": None}
                    chat = VisionChat.from_pretrained(folder.path / MODEL_FOLDER, **own)
                    before = VisionChat.from_pretrained(plan.model, budget=plan.budget, **options)
                    stack.callback(before.close)
                stack.callback(chat.close)
                report = compare_before_and_after(
                    chat, asked, before=before, num_shown=plan.num_shown
                )
        except Exception as error:  # hours of training must not end with this
            warnings.warn(
                f"no answers before and after could be had: {error}", QwenVLKitWarning, stacklevel=4
            )
            return
        write_report(folder.path, report)


def _log_of(checkpoint: Path) -> list[dict[str, float]]:
    """The losses that a run had logged when it saved a checkpoint."""
    state = TrainerState.load_from_json(str(checkpoint / STATE_FILE))
    return list(state.log_history)


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
