"""The payload of a request: the arguments of `chat.completions.create`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.backends.server.image_encoding import ImageEncoding, frames_url, picture_url
from qwenvl_kit.backends.server.server_kinds import ServerKind
from qwenvl_kit.backends.video_timestamps import CLOCK_HERTZ, num_ticks, ticks
from qwenvl_kit.errors import UnsupportedFeatureError
from qwenvl_kit.media.types import Link
from qwenvl_kit.messages.message import Message, TextPart
from qwenvl_kit.messages.order import is_continued
from qwenvl_kit.options import Sampling
from qwenvl_kit.plans import VideoPlan
from qwenvl_kit.prompts.template_input import Turns, render_turns
from qwenvl_kit.structured_output.constraints import Constraint

_RESULT_BEGINS = {"type": "text", "text": "<tool_response>\n"}
_RESULT_ENDS = {"type": "text", "text": "\n</tool_response>"}
"""The tags by which Qwen's chat templates enclose a tool result, within a turn of the user."""

_FRAMES_UNASKED = 32
"""Most frames that vLLM takes of a sequence by default (multimodal/media/video.py). It accepts
other numbers only if it was started with `--trust-request-mm-kwargs`."""


@dataclass(frozen=True)
class PayloadRules:
    """The rules by which requests are written for a server.

    Attributes:
        server_kind: the kind of the server.
        model: the name under which the server serves the model.
        knows_tools: True if the model's chat template writes tools; None if that is not known.
        gives_logprobs: True if the server returns log-probabilities of tokens.
        constrains_answers: True if the server enforces constraints.
        knows_ids: True if the server returns token ids and the tokenizer is known here.
        tells_times: True if the prompt contains the timestamps of frames.
        encoding: the image format of pictures.
    """

    server_kind: ServerKind
    model: str
    knows_tools: bool | None
    gives_logprobs: bool
    constrains_answers: bool
    knows_ids: bool
    tells_times: bool
    encoding: ImageEncoding

    def payload(self, request: BackendRequest, messages: Sequence[Message]) -> dict[str, Any]:
        """Write the arguments for a request.

        Args:
            request: the request.
            messages: its messages, with special tokens in text from users escaped.

        Raises:
            UnsupportedFeatureError: the server's API has no argument for a part of the request.
        """
        turns = render_turns(messages, _PlainText(), knows_tools=self.knows_tools is not False)
        extra: dict[str, Any] = {}
        if is_continued(messages):
            self._add_continuation(extra)
        if request.plan.videos:
            self._add_videos(extra, request.plan.videos)
        arguments: dict[str, Any] = {
            "model": self.model,
            "messages": list(self._messages(turns, request)),
            "max_tokens": request.plan.max_new_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        self._add_tools(arguments, turns)
        self._add_thinking(extra, turns)
        self._add_sampling(arguments, extra, request.sampling)
        if request.sampling.keep_special_tokens and not self.knows_ids:
            self._add_special_tokens(extra)
        if request.constraint is None or (self.knows_ids and self.server_kind.scores_prompts):
            self._add_scores(arguments, extra, request.sampling)
        if request.constraint is not None:
            self._add_constraint(arguments, extra, request.constraint)
        return {**arguments, "extra_body": extra}

    def _messages(self, turns: Turns, request: BackendRequest) -> Iterator[dict[str, Any]]:
        media = iter(zip(request.media, request.plan.media.values(), strict=True))
        call_ids = _CallIds()
        for turn in turns.turns:
            content = [
                item if item["type"] == "text" else self._medium(*next(media))
                for item in turn["content"]
            ]
            role = turn["role"]
            if role == "tool" and not call_ids.has_open_call:
                role, content = "user", [_RESULT_BEGINS, *content, _RESULT_ENDS]
            is_text = all(item["type"] == "text" for item in content)
            said = "".join(item["text"] for item in content) if is_text else content
            thoughts = {self.server_kind.thoughts_key: turn.get("reasoning_content")}
            known = thoughts if "reasoning_content" in turn else {}
            yield {"role": role, "content": said, **known, **call_ids.of(turn)}

    def _medium(self, pixels: Any, plan: Any) -> dict[str, Any]:
        if not isinstance(plan, VideoPlan):
            is_link = isinstance(pixels, Link)
            url = pixels.url if is_link else picture_url(pixels, self.encoding)
            return {"type": "image_url", "image_url": {"url": url}}
        if self.server_kind.videos == "jpeg sequence":
            return {"type": "video_url", "video_url": {"url": frames_url(pixels, self.encoding)}}
        import PIL.Image

        urls = [picture_url(PIL.Image.fromarray(frame), self.encoding) for frame in pixels]
        return {"type": "video", "video": urls, "fps": _mean_fps(plan)}

    def _add_continuation(self, extra: dict[str, Any]) -> None:
        if not self.server_kind.continues_answers:
            raise UnsupportedFeatureError(
                f"this server ({self.server_kind.name}) cannot continue an answer that was begun",
                expected="a user's message at the end",
                hint="a server of vLLM, or VisionChat.from_pretrained",
            )
        extra.update(add_generation_prompt=False, continue_final_message=True)

    def _add_videos(self, extra: dict[str, Any], videos: Sequence[VideoPlan]) -> None:
        """Add the timestamps of frames, once for all videos of a request."""
        if self.server_kind.videos is None:
            raise UnsupportedFeatureError(
                f"this server ({self.server_kind.name}) takes no chosen frames of a video",
                hint="the frames as pictures, or a server of vLLM",
            )
        if self.server_kind.videos != "jpeg sequence":
            return
        longest = max(len(plan.frame_indices) for plan in videos)
        if not self.tells_times and longest <= _FRAMES_UNASKED:
            return
        clocks = {tuple(ticks(plan.timestamps_seconds)) for plan in videos}
        if len(clocks) > 1:
            raise UnsupportedFeatureError(
                f"{len(clocks)} videos with frames at different times were given",
                expected="one video in a request to vLLM, or videos with frames at the same times",
                hint="a request for each",
            )
        (indices,) = map(list, clocks)
        extra["media_io_kwargs"] = {
            "video": {
                "num_frames": -1,
                "fps": CLOCK_HERTZ,
                "frames_indices": indices,
                "total_num_frames": num_ticks(videos[0].timestamps_seconds),
                "do_sample_frames": False,
            }
        }

    def _add_tools(self, arguments: dict[str, Any], turns: Turns) -> None:
        if not turns.tools:
            return
        arguments["tools"] = turns.tools
        arguments["tool_choice"] = "none" if self.server_kind.leaves_calls else "auto"

    def _add_thinking(self, extra: dict[str, Any], turns: Turns) -> None:
        if turns.thinking is None:
            return
        if self.server_kind.thinking is None:
            raise UnsupportedFeatureError(
                f"this server ({self.server_kind.name}) has no switch for thinking",
                hint="thinking=None, or a model that always does, or never",
            )
        switch = {"enable_thinking": turns.thinking}
        is_flag = self.server_kind.thinking == "enable_thinking"
        extra.update(switch if is_flag else {"chat_template_kwargs": switch})

    def _add_sampling(
        self, arguments: dict[str, Any], extra: dict[str, Any], sampling: Sampling
    ) -> None:
        names = ("top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty")
        given = {name: getattr(sampling, name) for name in names}
        given = {name: value for name, value in given.items() if value is not None}
        if sampling.is_greedy:  # top-p and the like change nothing
            given = {name: value for name, value in given.items() if name.endswith("penalty")}
        missing = sorted(given.keys() - self.server_kind.sampling - {"top_p", "presence_penalty"})
        if missing:
            raise UnsupportedFeatureError(
                f"this server ({self.server_kind.name}) does not take {', '.join(missing)}",
                hint="Sampling(temperature=..., top_p=...)",
            )
        if (
            sampling.seed is not None
            and not sampling.is_greedy
            and not self.server_kind.keeps_seeds
        ):
            raise UnsupportedFeatureError(
                f"this server ({self.server_kind.name}) keeps no seeds: its requests share one",
                hint="Sampling(seed=None), or a server of vLLM",
            )
        given = {**self.server_kind.neutral, **given}
        if self.server_kind.takes_generation_config:
            choice = {} if sampling.is_greedy else {"temperature": sampling.temperature}
            settings = {"do_sample": not sampling.is_greedy, **choice, **given}
            extra["generation_config"] = json.dumps(settings)
            return
        arguments["temperature"] = sampling.temperature or 0.0
        for name, value in given.items():
            (extra if name in self.server_kind.sampling else arguments)[name] = value
        if sampling.seed is not None:
            arguments["seed"] = sampling.seed % 2**63
        if sampling.stop:
            arguments["stop"] = list(sampling.stop)

    def _add_special_tokens(self, extra: dict[str, Any]) -> None:
        """Request special tokens in the text, which is not decoded from ids here."""
        if not self.server_kind.keeps_special_tokens:
            raise UnsupportedFeatureError(
                f"this server ({self.server_kind.name}) leaves special tokens out of its answers",
                hint="Sampling(keep_special_tokens=False), or a server of vLLM",
            )
        extra["skip_special_tokens"] = False

    def _add_scores(
        self, arguments: dict[str, Any], extra: dict[str, Any], sampling: Sampling
    ) -> None:
        most = self.server_kind.max_alternatives
        if not self.gives_logprobs:
            if sampling.num_alternatives:
                raise UnsupportedFeatureError("this server gives no log-probabilities")
            return
        if sampling.num_alternatives > most:
            raise UnsupportedFeatureError(
                f"num_alternatives={sampling.num_alternatives} was given",
                expected=f"at most {most} from this server",
            )
        arguments["logprobs"] = True
        arguments["top_logprobs"] = sampling.num_alternatives
        if self.knows_ids:
            extra["return_token_ids"] = True
            extra["return_tokens_as_token_ids"] = True

    def _add_constraint(
        self, arguments: dict[str, Any], extra: dict[str, Any], constraint: Constraint
    ) -> None:
        form = self.server_kind.constraints.get(constraint.kind)
        if form is None or not self.constrains_answers:
            raise UnsupportedFeatureError(
                f"this server ({self.server_kind.name}) cannot constrain an answer to a "
                f"{constraint.kind}",
                hint="a server of vLLM, or VisionChat.from_pretrained",
            )
        if form == "response_format":
            schema = {"name": "answer", "schema": json.loads(constraint.text), "strict": True}
            arguments["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif form == "regex":
            extra["regex"] = _as_regex(constraint)
        else:
            is_choice = constraint.kind == "choice"
            allowed = json.loads(constraint.text) if is_choice else constraint.text
            extra["structured_outputs"] = {constraint.kind: allowed}


class _PlainText:
    """A substitute for a `TokenShield`, for text without special tokens that must be hidden."""

    def hide(self, text: str) -> str:
        return text

    def hide_untrusted(self, parts: Sequence[TextPart]) -> str:
        return "".join(part.text for part in parts)


class _CallIds:
    """Ids that connect calls with their results, as a server requires; numbered in their order."""

    def __init__(self) -> None:
        self._num_calls = 0
        self._unanswered: list[str] = []

    @property
    def has_open_call(self) -> bool:
        """True if a call has no result so far. A server refuses a result without a call."""
        return bool(self._unanswered)

    def of(self, turn: Mapping[str, Any]) -> dict[str, Any]:
        """The keys of a turn in addition to its role and content."""
        if turn["role"] == "tool" and self._unanswered:
            return {"tool_call_id": self._unanswered.pop(0)}
        calls = [self._with_id(call) for call in turn.get("tool_calls", ())]
        return {"tool_calls": calls} if calls else {}

    def _with_id(self, call: Mapping[str, Any]) -> dict[str, Any]:
        call_id = f"call_{self._num_calls}"
        self._num_calls += 1
        self._unanswered.append(call_id)
        arguments = json.dumps(call["function"]["arguments"], ensure_ascii=False)
        function = {"name": call["function"]["name"], "arguments": arguments}
        return {"id": call_id, "type": "function", "function": function}


def _mean_fps(plan: VideoPlan) -> float:
    times = plan.timestamps_seconds
    duration = times[-1] - times[0] if len(times) > 1 else 0.0
    return round((len(times) - 1) / duration, 3) if duration else 1.0


def _as_regex(constraint: Constraint) -> str:
    if constraint.kind == "regex":
        return constraint.text
    return "(" + "|".join(map(re.escape, json.loads(constraint.text))) + ")"
