"""Options of a request: sampling of the answer, and the pixel budget of pictures and videos."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from types import MappingProxyType
from typing import Literal, TypeAlias, Union

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.errors import BudgetError, SamplingError

MAX_QUEUED_REQUESTS = 256
"""The requests that may wait while others run, unless a chat is opened with another number."""

MIN_TEMPERATURE = 1e-4
"""The lowest temperature: logits that are divided by less may overflow."""

BudgetName: TypeAlias = Literal["native", "quick", "standard", "fine"]

Fit: TypeAlias = Literal["refuse", "shrink"]
"""The treatment of a request that is longer than the model's context: "refuse" raises an error,
"shrink" makes pictures smaller and takes fewer frames."""


@explains_wrong_arguments
@dataclass(frozen=True, kw_only=True)
class Sampling:
    """The settings of generation: how each token is chosen, and when the answer ends.

    Decoding is greedy (the most probable token each time) unless a temperature is given.

        Sampling(max_new_tokens=100)
        Sampling(temperature=0.7, top_p=0.8, seed=1)

    Attributes:
        max_new_tokens: most tokens to generate, the end token included; at least 1, 512 by
            default.
        max_total_tokens: most tokens of prompt and answer together, at least 2. None leaves it to
            the model's context.
        temperature: divisor of the logits before sampling. Higher values give more varied
            answers; None or 0 is greedy.
        top_k: sample among the k most probable tokens only. None for no such limit.
        top_p: sample among the smallest set of tokens whose probability reaches p, in (0, 1]
            (nucleus sampling, Holtzman et al., 2020, arXiv:1904.09751). None for no such limit.
        min_p: leave out tokens whose probability is below this share of the most probable one's,
            in [0, 1] (Nguyen et al., 2024, arXiv:2407.01082). None for no such limit.
        repetition_penalty: above 1, makes tokens of the prompt and of the answer so far less
            probable (Keskar et al., 2019, arXiv:1909.05858); 1 changes nothing.
        presence_penalty: subtracted once from the logit of each token that the answer already
            holds, in [-2, 2] (OpenAI's API reference). Qwen's model cards advise it against
            repetition.
        seed: seed of the random choice, 0 to 2**64 - 1. In fp32 the same request with the same
            seed gives the same answer, alone or in a batch.
        stop: strings that end the answer; they are not part of its text.
        num_alternatives: number of the most probable tokens to report at each position; 0 by
            default.
        max_seconds: time limit in seconds, counted from the call. When it is over, the answer
            ends with the text generated so far. None for no limit.
        max_cycle_tokens: end the answer when it has repeated itself for this many tokens, at
            least 2; 96 by default. None never ends it for this reason.
        prompt_lookup_tokens: most tokens of a draft, at least 1. Drafts are copied from an
            earlier place in prompt or answer with the same last tokens. The answer stays the same
            and comes faster where it repeats text. None makes no drafts (prompt lookup decoding,
            Saxena, 2023, https://github.com/apoorvumang/prompt-lookup-decoding).
        keep_special_tokens: True if the text of the answer shows special tokens, such as
            `<|box_start|>`. `Reply.raw_text` has them in any case. The token that ends the
            answer is never shown.

    Raises:
        SamplingError: a value is out of its range, or `top_k`, `top_p` or `min_p` is given without
            a temperature.
    """

    max_new_tokens: int = 512
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    num_alternatives: int = 0
    max_seconds: float | None = None
    max_cycle_tokens: int | None = 96
    prompt_lookup_tokens: int | None = None
    max_total_tokens: int | None = None
    keep_special_tokens: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.stop, str):
            object.__setattr__(self, "stop", (self.stop,))
        self._check_integers()
        self._check_fractions()
        self._check_temperature()
        stop = tuple(self.stop) if isinstance(self.stop, Iterable) else (self.stop,)
        if not all(isinstance(text, str) and text for text in stop):
            raise SamplingError(
                f"stop={self.stop!r} was given", expected="strings that are not empty"
            )
        object.__setattr__(self, "stop", stop)
        if not isinstance(self.keep_special_tokens, bool):
            raise SamplingError(
                f"keep_special_tokens={self.keep_special_tokens!r} was given",
                expected="True or False",
            )

    def _check_temperature(self) -> None:
        """Raise an error if top_k, top_p or min_p has no temperature, which is likely forgotten."""
        given = [name for name in ("top_k", "top_p", "min_p") if getattr(self, name) is not None]
        if given and self.temperature is None:
            raise SamplingError(
                f"{given[0]}={getattr(self, given[0])!r} was given without a temperature",
                expected="a temperature, as without one the most probable token is taken",
                hint=f"Sampling(temperature=0.7, {given[0]}=...), or temperature=0 for greedy",
            )

    @property
    def is_greedy(self) -> bool:
        """True if the most probable token is always chosen."""
        return not self.temperature

    def _check_integers(self) -> None:
        _check_integer("max_new_tokens", self.max_new_tokens, minimum=1)
        _check_integer("num_alternatives", self.num_alternatives, minimum=0)
        if self.top_k is not None:
            _check_integer("top_k", self.top_k, minimum=1)
        if self.max_cycle_tokens is not None:
            _check_integer("max_cycle_tokens", self.max_cycle_tokens, minimum=2)
        if self.max_total_tokens is not None:
            _check_integer("max_total_tokens", self.max_total_tokens, minimum=2)
        if self.prompt_lookup_tokens is not None:
            _check_integer("prompt_lookup_tokens", self.prompt_lookup_tokens, minimum=1)
        if self.seed is not None:
            _check_integer("seed", self.seed, minimum=0)
            if self.seed >= 2**64:
                raise SamplingError(f"seed={self.seed} was given", expected="less than 2**64")

    def _check_fractions(self) -> None:
        _check_number("temperature", self.temperature, 0.0, math.inf, "0 (greedy) or more")
        if self.temperature and self.temperature < MIN_TEMPERATURE:
            raise SamplingError(
                f"temperature={self.temperature} was given",
                expected=f"0 (greedy), or at least {MIN_TEMPERATURE}",
            )
        _check_number("top_p", self.top_p, 0.0, 1.0, "above 0, up to 1", open_below=True)
        _check_number("min_p", self.min_p, 0.0, 1.0, "between 0 and 1")
        _check_number(
            "repetition_penalty",
            self.repetition_penalty,
            0.01,
            math.inf,
            "of at least 0.01; 1 changes nothing",
        )
        _check_number("presence_penalty", self.presence_penalty, -2.0, 2.0, "between -2 and 2")
        _check_number("max_seconds", self.max_seconds, 0.0, math.inf, "above 0", open_below=True)


def describe_sampling(sampling: Sampling) -> str:
    """Return the settings that differ from the defaults, in words."""
    plain = Sampling()
    changed = {
        name: value
        for name, value in vars(sampling).items()
        if value != getattr(plain, name) or name == "max_new_tokens"
    }
    choice = "greedy, " if sampling.is_greedy else ""
    return choice + ", ".join(f"{name}={value}" for name, value in changed.items())


@explains_wrong_arguments
@dataclass(frozen=True)
class PixelBudget:
    """The limits of the visual tokens that a picture or a group of frames may cost.

    Pictures are resized to fit the limits. More tokens show finer details and take more time and
    memory. A visual token covers a square of 28 x 28 px in Qwen2-VL and Qwen2.5-VL, and of
    32 x 32 px in Qwen3-VL and Qwen3.5, so that a budget in tokens costs the same in every family.
    A limit that is None is the checkpoint's own limit.

        PixelBudget(max_tokens=1000)
        PixelBudget.from_pixels(max_pixels=1280 * 28 * 28)
        PixelBudget.from_name("quick")  # or budget="quick" wherever a budget is taken

    Attributes:
        min_tokens: smaller pictures are enlarged to about this many visual tokens.
        max_tokens: larger pictures are reduced to at most this many visual tokens. A very long
            strip may keep more, because the rule of the models never crops.
        total_tokens: most visual tokens of all pictures and frames together: those of the
            request, or of one part if the part has a budget of its own.
        min_pixels, max_pixels, total_pixels: the same limits as areas in pixels, height times
            width; see `from_pixels`. A budget uses tokens or pixels, never both.
        max_long_edge_px: most pixels of the longer side, for both kinds of budget. It wins over
            the minimum; a side is never shorter than one visual token.

    For a video, the limits hold for each group of frames that share their tokens: two frames in
    every Qwen-VL family so far.

    Raises:
        BudgetError: a value is not a whole number above 0, a minimum is above its maximum, or
            tokens and pixels are mixed.
    """

    min_tokens: int | None = None
    max_tokens: int | None = None
    total_tokens: int | None = None
    _: KW_ONLY
    min_pixels: int | None = None
    max_pixels: int | None = None
    total_pixels: int | None = None
    max_long_edge_px: int | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and (not _is_integer(value) or value < 1):
                raise BudgetError(f"{name}={value!r} was given", expected="a whole number above 0")
        if self._is_in_tokens and self._is_in_pixels:
            raise BudgetError("the budget mixes tokens with pixels", expected="one unit")
        _check_order("min_tokens", self.min_tokens, "max_tokens", self.max_tokens)
        _check_order("min_pixels", self.min_pixels, "max_pixels", self.max_pixels)
        _check_order("min_tokens", self.min_tokens, "total_tokens", self.total_tokens)
        _check_order("min_pixels", self.min_pixels, "total_pixels", self.total_pixels)

    @classmethod
    def from_pixels(
        cls,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        total_pixels: int | None = None,
        *,
        max_long_edge_px: int | None = None,
    ) -> PixelBudget:
        """Build a budget from areas in pixels (height times width) in place of visual tokens."""
        return cls(
            min_pixels=min_pixels,
            max_pixels=max_pixels,
            total_pixels=total_pixels,
            max_long_edge_px=max_long_edge_px,
        )

    @classmethod
    def from_name(cls, name: str) -> PixelBudget:
        """Return a preset: "native", "quick", "standard" or "fine".

        "native" keeps the checkpoint's limits; the others allow 256 to 512, 512 to 1024, and 1024
        to 2048 visual tokens.

        Raises:
            BudgetError: there is no preset of that name.
        """
        if not isinstance(name, str) or name not in BUDGET_PRESETS:
            known = ", ".join(BUDGET_PRESETS)
            raise BudgetError(f"budget={name!r:.60} was given", expected=f"one of {known}")
        return BUDGET_PRESETS[name]

    @property
    def _is_in_tokens(self) -> bool:
        return any(v is not None for v in (self.min_tokens, self.max_tokens, self.total_tokens))

    @property
    def _is_in_pixels(self) -> bool:
        return any(v is not None for v in (self.min_pixels, self.max_pixels, self.total_pixels))


def _is_integer(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)  # NumPy's are, too


def _check_integer(name: str, value: object, *, minimum: int) -> None:
    if not _is_integer(value) or value < minimum:  # type: ignore[operator]
        raise SamplingError(
            f"{name}={value!r} was given", expected=f"a whole number of at least {minimum}"
        )


def _as_float(value: object) -> float:
    """Return a number as a float; NaN for anything else, infinity for one that is too large."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _check_number(
    name: str,
    value: float | None,
    low: float,
    high: float,
    expected: str,
    *,
    open_below: bool = False,
) -> None:
    if value is None:
        return
    number = _as_float(value)
    is_inside = math.isfinite(number) and low <= number <= high
    if is_inside and not (open_below and number == low):
        return
    raise SamplingError(f"{name}={value!r} was given", expected=f"a number {expected}")


def _check_order(low_name: str, low: int | None, high_name: str, high: int | None) -> None:
    if low is not None and high is not None and low > high:
        raise BudgetError(
            f"{low_name}={low} is above {high_name}={high}",
            expected=f"{low_name} <= {high_name}",
            hint="swap them if they were passed in the wrong order",
        )


BudgetChoice: TypeAlias = Union[PixelBudget, BudgetName]

BUDGET_PRESETS: Mapping[str, PixelBudget] = MappingProxyType(
    {
        "native": PixelBudget(),
        "quick": PixelBudget(256, 512),
        "standard": PixelBudget(512, 1024),
        "fine": PixelBudget(1024, 2048),
    }
)


def as_budget(choice: BudgetChoice) -> PixelBudget:
    """Return a `PixelBudget` for a budget or the name of a preset.

    Raises:
        BudgetError: it is something else.
    """
    if isinstance(choice, PixelBudget):
        return choice
    if isinstance(choice, str):
        return PixelBudget.from_name(choice)
    raise BudgetError(
        f"budget={choice!r:.60} was given",
        expected=f"a PixelBudget or one of {', '.join(BUDGET_PRESETS)}",
    )


def check_fit(fit: object) -> None:
    """Raise an error if `fit` is neither "refuse" nor "shrink".

    Raises:
        BudgetError: it is something else.
    """
    if fit not in ("refuse", "shrink"):
        raise BudgetError(f"fit={fit!r} was given", expected="'refuse' or 'shrink'")
