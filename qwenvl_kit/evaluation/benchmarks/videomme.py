"""Video-MME (Fu et al. 2024, arXiv:2405.21075): films with or without subtitles."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.benchmark import Benchmark, PathLike
from qwenvl_kit.evaluation.benchmarks.films import FilmBenchmark, Missing
from qwenvl_kit.evaluation.benchmarks.media_facts import shown_times
from qwenvl_kit.evaluation.benchmarks.option_questions import (
    qwen_video_prompt,
    with_letter,
    without_letters,
)
from qwenvl_kit.evaluation.benchmarks.subtitles import (
    SubtitleFolder,
    shown_by_frame,
    shown_once,
)
from qwenvl_kit.evaluation.columns import ColumnNames
from qwenvl_kit.evaluation.data.rows import Row
from qwenvl_kit.evaluation.items import EvaluationItem
from qwenvl_kit.evaluation.prompting import Prompt, lettered
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.messages.message import Message, VideoPart

if TYPE_CHECKING:
    from qwenvl_kit.chat import VisionChat

_SELECT = "Select the best answer to the following multiple-choice question based on the video"
_ONLY = "Respond with only the letter (A, B, C, or D) of the correct option."


def _qwen(item: EvaluationItem) -> str:
    """The text of QwenLM/Qwen3-VL, evaluation/VideoMME/dataset_utils.py."""
    heard = item.facts["subtitles"]
    listed = f"This video's subtitles are listed below:\n{heard}\n" if heard else ""
    return listed + qwen_video_prompt(item)


def _vlmevalkit(item: EvaluationItem) -> str:
    """The text of open-compass/VLMEvalKit, dataset/videomme.py."""
    listed = f"This video's subtitles are listed below:\n{item.facts['subtitles']}\n"
    return (
        f"\nThese are the frames of a video. {listed if item.facts['is_subtitled'] else ''}"
        f"{_SELECT}. {_ONLY}\nQuestion: {item.question}\n{lettered(item)}\nAnswer: "
    )


def _lmms_eval(item: EvaluationItem) -> str:
    """The text of EvolvingLMMs-Lab/lmms-eval, tasks/videomme/utils.py and videomme.yaml."""
    question = f"{_SELECT} and the subtitles. {_ONLY}\n{item.question}\n{lettered(item)}\n"
    if not item.facts["is_subtitled"]:
        return f"{question}\nAnswer with the option's letter from the given choices directly."
    heard = item.facts["subtitles"] or "No subtitles available"
    return f"This video's subtitles are listed below: \n{heard}\n{question}The best answer is:"


@explains_wrong_arguments
class VideoMME(FilmBenchmark):
    """Video-MME: films in a folder, questions in a file, subtitles in another folder.

        VideoMME("Video-MME.tsv", folder="video")
        VideoMME("test.parquet", folder="data", subtitles="subtitle")

    The files are VLMEvalKit's TSV and those of lmms-lab/Video-MME on Hugging Face. The score is
    the share of right letters; results are told by duration, domain, sub-category and task type.

    Args:
        data: see `FilmBenchmark`.
        folder: see `FilmBenchmark`.
        subtitles: the folder of subtitles (.srt), named as their films; None asks without them.
            Those that are heard at the frames that are shown are added to the prompt. Of the 900
            films 744 have subtitles; the others are asked without.
        prompt: see `FilmBenchmark`.
        name: see `FilmBenchmark`.
        columns: see `FilmBenchmark`.
        groups: see `FilmBenchmark`.
        cluster: see `FilmBenchmark`.
        split: see `FilmBenchmark`.
        fps: see `FilmBenchmark`.
        max_frames: see `FilmBenchmark`.
        num_frames: see `FilmBenchmark`.
        missing: see `FilmBenchmark`.

    Raises:
        EvaluationError: as `FilmBenchmark`; or the folder of subtitles has none of a film.
    """

    title: ClassVar[str] = "Video-MME"
    prompts: ClassVar[Mapping[str, Prompt]] = {
        "qwen": _qwen,
        "vlmevalkit": _vlmevalkit,
        "lmms_eval": _lmms_eval,
    }
    column_names: ClassVar[ColumnNames] = ColumnNames(
        id=("question_id", "index"),
        targets=("answer",),
        choices=("options", "candidates"),
        video=("videoID", "video"),
        groups={
            "duration": ("duration",),
            "domain": ("domain",),
            "sub_category": ("sub_category",),
            "task_type": ("task_type",),
        },
        optional=("id", "image", "cluster"),
    )

    def __init__(
        self,
        data: Any,
        *,
        folder: PathLike | None = None,
        subtitles: PathLike | None = None,
        prompt: str | Callable[[EvaluationItem], str] | None = None,
        name: str | None = None,
        columns: Mapping[str, str] | None = None,
        groups: Sequence[str] = (),
        cluster: str | None = None,
        split: str | None = None,
        fps: float | None = None,
        max_frames: int | None = None,
        num_frames: int | None = None,
        missing: Missing = "refuse",
    ) -> None:
        self._policy: MediaPolicy | None = None
        self._shown_times: dict[str, tuple[float, ...]] = {}
        self._subtitles = None if subtitles is None else SubtitleFolder.of(subtitles)
        super().__init__(
            data,
            folder=folder,
            prompt=prompt,
            name=name,
            columns=columns,
            groups=groups,
            cluster=cluster,
            split=split,
            fps=fps,
            max_frames=max_frames,
            num_frames=num_frames,
            missing=missing,
        )

    @property
    def conditions(self) -> Mapping[str, str]:
        """The frames of a film that are shown, and the number of items that have subtitles."""
        if self._subtitles is None:
            return super().conditions
        number = sum(bool(item.facts["subtitles"]) for item in self)
        return {**super().conditions, "subtitles": f"of {number:,} of {len(self):,} items"}

    def for_chat(self, chat: VisionChat) -> Benchmark:
        """Return the benchmark with the media policy of a chat, for the films of subtitles."""
        found = copy(self)
        found._policy, found._shown_times = chat.policy, {}
        return found

    def film_item(self, row: Row) -> EvaluationItem:
        """Return the item of a row; its fact `subtitles` is the name of a file, or empty."""
        found = super().film_item(row)
        file = "" if self._subtitles is None else self._subtitles.file_of(self.film_name(row))
        facts = {"subtitles": file, "is_subtitled": self._subtitles is not None}
        found = replace(found, choices=without_letters(found.choices), facts=facts)
        return with_letter(found)

    def prompt_text(self, item: EvaluationItem) -> str:
        """Return the text that asks an item, with the digest of its subtitles in their place.

        The lines that are heard at the frames are known when the film is opened, in `messages`.
        """
        file = item.facts["subtitles"]
        if self._subtitles is None or not file:
            return super().prompt_text(item)
        return self._with(item, f"[{file}, SHA-256 {self._subtitles.digest(file)}]")

    def messages(self, item: EvaluationItem) -> list[Message]:
        """Return the conversation that asks an item: its film, then the prompt with subtitles.

        Raises:
            MediaError: the film cannot be read.
        """
        (film,) = item.media
        file = item.facts["subtitles"]
        if self._subtitles is None or not file or not isinstance(film, VideoPart):
            return [Message.user(film, self.prompt_text(item))]
        choose = shown_by_frame if self.prompt_name == "vlmevalkit" else shown_once
        heard = choose(self._subtitles.read(file), self._times(film))
        return [Message.user(film, self._with(item, heard))]

    def check(self) -> None:
        """Refuse missing films, and a folder that has the subtitles of none of them."""
        super().check()
        if self._subtitles is not None and not any(item.facts["subtitles"] for item in self):
            raise EvaluationError(
                f"the folder {os.fspath(self._subtitles.folder)!r} has no subtitles of any film",
                expected=f"files such as {self[0].cluster}.srt",
            )

    def _with(self, item: EvaluationItem, heard: str) -> str:
        return self._prompt(replace(item, facts={**item.facts, "subtitles": heard}))

    def _times(self, film: VideoPart) -> tuple[float, ...]:
        """The times of the frames of a film; those of the last film are remembered."""
        source = str(film.source)
        if source not in self._shown_times:
            self._shown_times = {source: shown_times(film, self._policy)}
        return self._shown_times[source]
