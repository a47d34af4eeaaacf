"""The calibrator: a map from the confidence of the model to the share of correct answers."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy

from qwenvl_kit.calibration.curves import best_temperature, logits_of, rising, sigmoid
from qwenvl_kit.calibration.kinds import KIND_WORDS, Kind, Kinds
from qwenvl_kit.calibration.measures import Numbers
from qwenvl_kit.calibration.reports import CalibrationReport
from qwenvl_kit.calibration.signals import (
    SIGNALS,
    Scored,
    Signal,
    outcomes_of,
    signal_of,
    signals_of,
)
from qwenvl_kit.errors import CalibrationError, located

if TYPE_CHECKING:
    from typing_extensions import Self

    from qwenvl_kit.results import Reply

Method: TypeAlias = Literal["isotonic", "temperature"]

FILE_NAME = "calibration.json"
"""The file name in a model's folder that `calibrator="auto"` looks for."""

_VERSION = 1


@dataclass(frozen=True)
class Calibrator:
    """A map from the confidence of the model to the share of such answers that are correct.

    `Calibrator.fit` builds one from replies that are known to be correct or wrong.

    Attributes:
        method: "isotonic", a curve that never falls (Zadrozny and Elkan, 2002), or "temperature",
            a single number that divides the logit (Guo et al., 2017), for which a few dozen
            answers are enough.
        signal: the number of a reply that it maps: "product", "mean" or "minimum" of the
            probabilities of its tokens.
        points: (signal, confidence) pairs of the isotonic curve, rising, with straight lines in
            between.
        temperature: the divisor; 1 changes nothing.
        num_fitted: number of answers that it was fitted on.
        places: calibrator of replies that hold boxes or points, because exact coordinates have a
            low probability even if they are correct; None uses this one for all replies.
        json: calibrator of replies in JSON, most tokens of which are sure; None if none.
        long: calibrator of other replies of at least `long_from` tokens, because the probability
            of a long text as a whole is low even if it is correct; None if there is none.
        long_from: number of tokens, the end token included, from which a reply is long.
    """

    method: Method
    signal: Signal
    points: tuple[tuple[float, float], ...] = ()
    temperature: float = 1.0
    num_fitted: int = 0
    places: Calibrator | None = None
    json: Calibrator | None = None
    long: Calibrator | None = None
    long_from: int | None = None

    @classmethod
    def fit(
        cls,
        replies: Iterable[Scored],
        correct: Iterable[bool],
        *,
        method: Method = "isotonic",
        signal: Signal = "product",
        places_apart: bool = False,
        json_apart: bool = False,
        long_from: int | None = None,
    ) -> Self:
        """Fit a calibrator on answers that are known to be correct or wrong.

        Use other answers to measure it; see `report`.

        Args:
            replies: replies with scores, or confidences of fields or boxes in [0, 1].
            correct: True or False for each reply.
            method: "isotonic" needs a few hundred answers, "temperature" a few dozen.
            signal: the number of a reply to map: the "product" of its tokens' probabilities, their
                geometric "mean" or their "minimum".
            places_apart: True to fit replies that hold boxes or points apart from the others.
            json_apart: True to fit replies in JSON apart.
            long_from: number of tokens from which other replies are fitted apart from shorter
                ones; None for no such limit.

        Raises:
            CalibrationError: there are too few answers, all are correct or all wrong, or one has
                no scores.
            MissingPackageError: "isotonic" was chosen and scikit-learn is not installed.
        """
        _check_choice("method", method, ("isotonic", "temperature"))
        _check_choice("signal", signal, SIGNALS)
        kinds = Kinds(places_apart, json_apart, long_from)
        if len(kinds.names) > 1:
            return cls._fit_apart(list(replies), list(correct), kinds, method, signal)
        signals = signals_of(replies, signal)
        outcomes = outcomes_of(correct, len(signals))
        if not 0 < outcomes.sum() < len(outcomes):
            raise CalibrationError(
                f"{len(outcomes)} answers were given, of which {int(outcomes.sum())} are correct",
                expected="some correct and some wrong answers",
            )
        if method == "isotonic":
            return cls(method, signal, points=rising(signals, outcomes), num_fitted=len(signals))
        temperature = best_temperature(signals, outcomes)
        return cls(method, signal, temperature=temperature, num_fitted=len(signals))

    @classmethod
    def _fit_apart(
        cls,
        replies: Sequence[Scored],
        correct: Sequence[bool],
        kinds: Kinds,
        method: Method,
        signal: Signal,
    ) -> Self:
        outcomes = outcomes_of(correct, len(replies))
        found = [kinds.kind_of(reply) for reply in replies]
        fitted: dict[Kind, Self] = {}
        for kind in kinds.names:
            of_kind = [at for at, each in enumerate(found) if each == kind]
            with located(f"replies {KIND_WORDS[kind]}"):
                fitted[kind] = cls.fit(
                    [replies[at] for at in of_kind],
                    [bool(outcomes[at]) for at in of_kind],
                    method=method,
                    signal=signal,
                )
        return replace(
            fitted["plain"],
            places=fitted.get("places"),
            json=fitted.get("json"),
            long=fitted.get("long"),
            long_from=kinds.long_from,
        )

    def confidence(self, reply: Scored) -> float | None:
        """Return the share of such answers that are correct, in [0, 1]; None without scores."""
        own = self._of_kind(reply)
        value = signal_of(reply, own.signal)
        return None if value is None else float(own._calibrated(numpy.array([value]))[0])

    def _of_kind(self, reply: Scored) -> Calibrator:
        """The calibrator of this kind of reply."""
        long_from = None if self.long is None else self.long_from
        kinds = Kinds(self.places is not None, self.json is not None, long_from)
        kind = kinds.kind_of(reply)
        apart = {"places": self.places, "json": self.json, "long": self.long}.get(kind)
        return self if apart is None else apart

    def confidence_between(self, reply: Reply, start: int, stop: int) -> float | None:
        """Return the calibrated confidence in `reply.text[start:stop]`, such as a field of JSON.

        Its tokens are taken as an answer of their own. Returns None without scores.
        """
        tokens = reply.tokens_between(start, stop)
        if not tokens:
            return None
        part = signal_of(replace(reply, tokens=tokens, end_token=None), self.signal)
        return None if part is None else self.confidence(part)

    def report(self, replies: Iterable[Scored], correct: Iterable[bool]) -> CalibrationReport:
        """Measure the calibrator on answers that are known to be correct or wrong.

        They should not be the answers on which it was fitted.

        Raises:
            CalibrationError: there are no answers, or one has no scores.
        """
        judged = list(replies)
        found = self._calibrated(signals_of(judged, self.signal))
        for at, reply in enumerate(judged):
            own = self._of_kind(reply)
            if own is not self:
                found[at] = own._calibrated(signals_of([reply], own.signal))[0]
        return CalibrationReport.of(found, outcomes_of(correct, len(judged)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the calibrator as JSON.

        Args:
            path: a file, or a folder for "calibration.json" in it. In a model's folder,
                `calibrator="auto"` finds that file.

        Raises:
            CalibrationError: the file cannot be written.
        """
        content = {"qwenvl_kit_calibration": _VERSION, **asdict(self)}
        text = json.dumps(content, indent=1)
        try:
            _file_of(path).write_text(f"{text}\n", encoding="utf-8")
        except OSError as error:
            raise CalibrationError(
                f"{os.fsdecode(path)} cannot be written ({error.strerror})",
                expected="a file in a folder that exists, or a folder",
            ) from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a calibrator that `save` wrote.

        Args:
            path: the file, or its folder.

        Raises:
            CalibrationError: the file does not exist or is damaged.
        """
        name = os.fsdecode(path)
        try:
            content = json.loads(_file_of(path).read_text(encoding="utf-8"))
            return cls._of(content)
        except OSError as error:
            raise CalibrationError(
                f"{name} cannot be read ({error.strerror})",
                expected="a file that Calibrator.save wrote",
            ) from error
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise CalibrationError(
                f"{name} is not a calibration ({error})",
                expected="a file that Calibrator.save wrote",
            ) from error

    @classmethod
    def _of(cls, content: Mapping[str, Any]) -> Self:
        if content["qwenvl_kit_calibration"] != _VERSION:
            raise ValueError(f"version {content['qwenvl_kit_calibration']}")
        places, in_json, long = (
            None if content.get(kind) is None else cls._read(content[kind])
            for kind in ("places", "json", "long")
        )
        long_from = None if long is None else int(content["long_from"])
        made = cls._read(content)
        return replace(made, places=places, json=in_json, long=long, long_from=long_from)

    @classmethod
    def _read(cls, content: Mapping[str, Any]) -> Self:
        made = cls(
            method=content["method"],
            signal=content["signal"],
            points=tuple((float(at), float(value)) for at, value in content["points"]),
            temperature=float(content["temperature"]),
            num_fitted=int(content["num_fitted"]),
        )
        shares = [number for point in made.points for number in point]
        _check_choice("signal", made.signal, SIGNALS)
        _check_choice("method", made.method, ("isotonic", "temperature"))
        if not 0 < made.temperature < math.inf or not all(0 <= share <= 1 for share in shares):
            raise ValueError("a number is out of range")
        if list(made.points) != sorted(made.points) or (
            made.method == "isotonic" and not made.points
        ):
            raise ValueError("the curve does not rise")
        return made

    def _calibrated(self, signals: Numbers) -> Numbers:
        if self.method == "isotonic":
            places, values = zip(*self.points)
            return numpy.asarray(numpy.interp(signals, places, values), numpy.float64)
        return sigmoid(logits_of(signals) / self.temperature)


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise CalibrationError(
            f"{name}={value!r} was given", expected=f"one of {', '.join(map(repr, choices))}"
        )


def _file_of(path: str | os.PathLike[str]) -> Path:
    given = Path(os.fsdecode(path))
    return given / FILE_NAME if given.is_dir() else given
