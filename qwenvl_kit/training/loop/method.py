"""Methods of training: which weights of a network learn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from numbers import Real
from typing import Any, Literal, TypeAlias, Union, get_args

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.errors import TrainingError

Part: TypeAlias = Literal["language", "projector", "vision"]
"""A part of a network: the language model with its embeddings and output layer; the mergers that
turn the vision encoder's vectors into visual tokens; the vision encoder's own layers."""

PARTS: tuple[Part, ...] = get_args(Part)

_MOST_RANK = 4096


def part_of(name: str) -> Part:
    """The part to which a module or parameter of a model of transformers belongs, by its name."""
    if "visual." not in name:
        return "language"
    within = name.partition("visual.")[2]
    return "projector" if within.startswith(("merger", "deepstack_merger_list")) else "vision"


@explains_wrong_arguments
@dataclass(frozen=True)
class LoRA:
    """Small matrices learn beside the linear layers of some parts; the layers stay as they are.

    The change of a layer is `alpha / rank * B @ A` (Hu et al. 2021, https://arxiv.org/abs/2106.09685).

    Attributes:
        rank: the rows of A and columns of B, 1 to 4096.
        alpha: the strength of the change, together with `rank`.
        dropout: the share of inputs of A that are zero in each step, 0 to below 1.
        parts: the parts whose layers learn: some of "language", "projector" and "vision".
        experts: True if the fused experts of a mixture of experts learn, too; they are most of its
            weights.
        dora: True to learn the lengths of the layers' columns apart (DoRA, Liu et al. 2024,
            https://arxiv.org/abs/2402.09353).

    Raises:
        TrainingError: a value is out of range.
    """

    rank: int = 8
    alpha: float = 32
    _: KW_ONLY
    dropout: float = 0.0
    parts: tuple[Part, ...] = ("language",)
    experts: bool = False
    dora: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", checked_parts(self.parts))
        if type(self.rank) is not int or not 1 <= self.rank <= _MOST_RANK:
            raise TrainingError(
                f"rank={self.rank!r} was given", expected=f"a whole number from 1 to {_MOST_RANK}"
            )
        if not is_number(self.alpha) or not 0 < self.alpha <= 1e6:
            raise TrainingError(f"alpha={self.alpha!r} was given", expected="a number above 0")
        if not is_number(self.dropout) or not 0 <= self.dropout < 1:
            raise TrainingError(
                f"dropout={self.dropout!r} was given", expected="a number from 0 to below 1"
            )
        for name in ("experts", "dora"):
            if not isinstance(getattr(self, name), bool):
                raise TrainingError(
                    f"{name}={getattr(self, name)!r} was given", expected="True or False"
                )


@explains_wrong_arguments
@dataclass(frozen=True)
class FullTraining:
    """All weights of some parts learn.

    Attributes:
        parts: the parts that learn: some of "language", "projector" and "vision".

    Raises:
        TrainingError: a part is not known.
    """

    parts: tuple[Part, ...] = ("language",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", checked_parts(self.parts))


Method: TypeAlias = Union[LoRA, FullTraining]


def checked_parts(given: Any) -> tuple[Part, ...]:
    """The parts in their order, each once.

    Raises:
        TrainingError: one is not known, or there are none.
    """
    named = (given,) if isinstance(given, str) else given
    known = isinstance(named, Iterable) and {*(named := tuple(named))} <= {*PARTS}
    if not known or not named:
        raise TrainingError(
            f"parts={given!r} was given", expected=f"some of {', '.join(map(repr, PARTS))}"
        )
    return tuple(part for part in PARTS if part in named)


def is_number(value: object) -> bool:
    """True for a real number that is no truth value."""
    return isinstance(value, Real) and not isinstance(value, bool)
