"""What stands in a chat once its model takes no more requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

from qwenvl_kit.errors import ModelLoadError

if TYPE_CHECKING:
    from concurrent.futures import Future

    import PIL.Image

    from qwenvl_kit.backends.base import BackendRequest, Completion, Observer
    from qwenvl_kit.budget.measures import PlanningRules
    from qwenvl_kit.geometry import Size
    from qwenvl_kit.messages.message import Message
    from qwenvl_kit.options import Sampling
    from qwenvl_kit.plans import ImagePlan, VideoPlan


def closed_error() -> ModelLoadError:
    """What a closed model answers with."""
    return ModelLoadError(
        "the model was closed", hint="load it again, or close it after its last request"
    )


def _refuse() -> NoReturn:
    raise closed_error()


class ClosedBackend:
    """Refuses whatever is asked, with a ModelLoadError; fulfils `Backend`."""

    @property
    def rules(self) -> PlanningRules:
        """None that hold any more."""
        _refuse()

    @property
    def default_sampling(self) -> Sampling:
        """None."""
        _refuse()

    def free_bytes(self) -> int | None:
        """Not known."""
        _refuse()

    def count_prompt_tokens(
        self, messages: Sequence[Message], media: Sequence[ImagePlan | VideoPlan]
    ) -> int:
        """Nobody counts."""
        _refuse()

    def resize_image(self, image: PIL.Image.Image, size: Size) -> PIL.Image.Image:
        """Nobody resizes."""
        _refuse()

    def submit(
        self, request: BackendRequest, observer: Observer | None = None
    ) -> Future[Completion]:
        """Nobody answers."""
        _refuse()

    def report(self) -> Mapping[str, str]:
        """Nothing is loaded."""
        _refuse()

    def close(self) -> None:
        """It is closed."""
