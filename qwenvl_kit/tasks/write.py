"""Write something that a picture gives rise to: a story, a poem, a caption."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import MessageError
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.tasks.prompts import Language, chosen_prompt
from qwenvl_kit.tasks.task_result import Answer

PROMPTS = MappingProxyType(
    {
        "en": "Write {style} about this image, in about {words} words.",
        "zh": "根据这张图片写{style}，约{words}字。",
    }
)
STYLES = MappingProxyType({"en": "a short story", "zh": "一个小故事"})
CREATIVE = Sampling(temperature=0.9, top_p=0.95, max_new_tokens=1024)
"""Of free writing; chosen so that two asks differ, as users of such a task want."""


@dataclass(frozen=True)
class Writing(Answer):
    """What was written."""


def write_from_image(
    chat: VisionChat,
    image: Media,
    *,
    style: str | None = None,
    num_words: int = 150,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> Writing:
    """Write about a picture.

    Args:
        chat: who writes.
        image: the picture, or a `VideoPart`.
        style: what to write, such as "a poem" or "an advertisement"; None is a short story.
        num_words: about how many words, or characters in Chinese.
        language: of prompt and text.
        prompt: how to ask instead; `{style}` and `{words}` stand for those.
        sampling: how to generate; None draws by chance (temperature 0.9).
        budget: what the picture may cost.

    Raises:
        MessageError: num_words is no whole number above 0.
        InputError: the picture cannot be used.
    """
    if type(num_words) is not int or num_words < 1:
        raise MessageError(f"num_words={num_words!r} was given", expected="a whole number above 0")
    question = chosen_prompt(
        PROMPTS,
        language,
        prompt,
        style=chosen_prompt(STYLES, language, style),
        words=str(num_words),
    )
    return Writing(chat.ask(question, image, sampling=sampling or CREATIVE, budget=budget))
