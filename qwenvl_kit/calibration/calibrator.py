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
from qwenvl_kit.errors import CalibrationError, MissingPackageError, located
from qwenvl_kit.grounding.place_parser import parse_places
from qwenvl_kit.results import Reply

if TYPE_CHECKING:
    from typing_extensions import Self

Method: TypeAlias = Literal["isotonic", "temperature"]

FILE_NAME = "calibration.json"
"""The file name in a model's folder that `calibrator="auto"` looks for."""

_VERSION = 1
_LEAST = 1e-6
"""The least probability, so that its logarithm is finite."""


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
    """

    method: Method
    signal: Signal
    points: tuple[tuple[float, float], ...] = ()
    temperature: float = 1.0
    num_fitted: int = 0
    places: Calibrator | None = None

    @classmethod
    def fit(
        cls,
        replies: Iterable[Scored],
        correct: Iterable[bool],
        *,
        method: Method = "isotonic",
        signal: Signal = "product",
        places_apart: bool = False,
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

        Raises:
            CalibrationError: there are too few answers, all are correct or all wrong, or one has
                no scores.
            MissingPackageError: "isotonic" was chosen and scikit-learn is not installed.
        """
        _check_choice("method", method, ("isotonic", "temperature"))
        _check_choice("signal", signal, SIGNALS)
        if places_apart:
            return cls._fit_apart(list(replies), list(correct), method, signal)
        signals = signals_of(replies, signal)
        outcomes = outcomes_of(correct, len(signals))
        if not 0 < outcomes.sum() < len(outcomes):
            raise CalibrationError(
                f"{len(outcomes)} answers were given, of which {int(outcomes.sum())} are correct",
                expected="some correct and some wrong answers",
            )
        if method == "isotonic":
            return cls(method, signal, points=_rising(signals, outcomes), num_fitted=len(signals))
        temperature = _best_temperature(signals, outcomes)
        return cls(method, signal, temperature=temperature, num_fitted=len(signals))

    @classmethod
    def _fit_apart(
        cls, replies: Sequence[Scored], correct: Sequence[bool], method: Method, signal: Signal
    ) -> Self:
        outcomes = outcomes_of(correct, len(replies))
        holding = [_holds_places(reply) for reply in replies]
        kinds: list[Self] = []
        for kind, name in ((False, "without"), (True, "with")):
            of_kind = [at for at, holds in enumerate(holding) if holds is kind]
            with located(f"replies {name} places"):
                kinds.append(
                    cls.fit(
                        [replies[at] for at in of_kind],
                        [bool(outcomes[at]) for at in of_kind],
                        method=method,
                        signal=signal,
                    )
                )
        plain, places = kinds
        return replace(plain, places=places)

    def confidence(self, reply: Scored) -> float | None:
        """Return the share of such answers that are correct, in [0, 1]; None without scores."""
        if self.places is not None and _holds_places(reply):
            return self.places.confidence(reply)
        value = signal_of(reply, self.signal)
        return None if value is None else float(self._calibrated(numpy.array([value]))[0])

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
        if self.places is not None:
            held = [at for at, reply in enumerate(judged) if _holds_places(reply)]
            signals = signals_of([judged[at] for at in held], self.places.signal)
            found[held] = self.places._calibrated(signals)
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
        made = cls._read(content)
        places = content.get("places")
        return made if places is None else replace(made, places=cls._read(places))

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
        return _sigmoid(_logits(signals) / self.temperature)


def _holds_places(scored: Scored) -> bool:
    return isinstance(scored, Reply) and bool(parse_places(scored.text).places)


def _rising(signals: Numbers, outcomes: Numbers) -> tuple[tuple[float, float], ...]:
    try:
        from sklearn.isotonic import IsotonicRegression
    except ImportError as error:
        raise MissingPackageError(
            "scikit-learn, which fits the curve, is not installed",
            hint="pip install 'qwenvl-kit[calibration]', or method='temperature'",
        ) from error
    curve = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(signals, outcomes)
    return tuple(zip(curve.X_thresholds_.tolist(), curve.y_thresholds_.tolist()))


def _best_temperature(signals: Numbers, outcomes: Numbers) -> float:
    """The temperature that makes the outcomes most likely, by a search with halved steps."""
    logits = _logits(signals)

    def loss(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        return float(numpy.logaddexp(0.0, numpy.where(outcomes > 0, -scaled, scaled)).mean())

    best, step = 0.0, 1.0
    while step > 1e-4:
        near = min((best - step, best + step), key=loss)
        if loss(near) < loss(best) and abs(near) < 6:
            best = near
        else:
            step /= 2
    return math.exp(best)


def _logits(probabilities: Numbers) -> Numbers:
    inside = numpy.clip(probabilities, _LEAST, 1 - _LEAST)
    return numpy.asarray(numpy.log(inside) - numpy.log1p(-inside), numpy.float64)


def _sigmoid(values: Numbers) -> Numbers:
    return numpy.asarray(1 / (1 + numpy.exp(-values)), numpy.float64)


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise CalibrationError(
            f"{name}={value!r} was given", expected=f"one of {', '.join(map(repr, choices))}"
        )


def _file_of(path: str | os.PathLike[str]) -> Path:
    given = Path(os.fsdecode(path))
    return given / FILE_NAME if given.is_dir() else given
