"""Free writing about a picture: a story, a poem, a caption, of a length or a form."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.display.blocks import facts, notes
from qwenvl_kit.display.pictures import strip
from qwenvl_kit.display.replies import pictures_of, reply_blocks
from qwenvl_kit.display.styles import framed
from qwenvl_kit.display.text import count, html
from qwenvl_kit.errors import MessageError
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.results import Reply
from qwenvl_kit.tasks.prompts import Language, chosen_prompt
from qwenvl_kit.tasks.task_result import Answer
from qwenvl_kit.tasks.writing.lengths import Length, Unit
from qwenvl_kit.tasks.writing.rounds import MOST_ATTEMPTS, Draft, Writer
from qwenvl_kit.tasks.writing.targets import LengthTarget, VerseTarget
from qwenvl_kit.tasks.writing.verse_forms import VerseForm, as_verse_form

PROMPTS = MappingProxyType(
    {
        "en": "Write {style} about this image, in about {words} words.",
        "zh": "根据这张图片写{style}，约{words}字。",
    }
)
LENGTH_PROMPTS = MappingProxyType(
    {
        "en": "Write {style} about this image, of {length}.",
        "zh": "根据这张图片写{style}，{length}。",
    }
)
STYLES = MappingProxyType({"en": "a short story", "zh": "一个小故事"})
CREATIVE = Sampling(temperature=0.9, top_p=0.95, max_new_tokens=1024)
"""Sampling for free writing: hot enough that the same request gives different texts."""

_NUM_WORDS = 150


@dataclass(frozen=True, repr=False)
class Writing(Answer):
    """A text that was written about a picture. `str(writing)` is the text.

    Attributes:
        reply: the last reply that the text is made of.
        written: the whole text, if it was made of several replies; None if it is that of `reply`.
        fits: True if it has the length or form that was asked for; None if none was.
        length: its number of words or characters; None unless one was asked for.
        lines: the lines of its verse, without title and remarks; empty unless a form was asked for.
        replies: the replies of all attempts, in their order; also of those that were not used.
        warnings: sentences on what it lacks.
    """

    written: str | None = None
    fits: bool | None = None
    length: int | None = None
    lines: tuple[str, ...] = ()
    replies: tuple[Reply, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The text, without white space around it."""
        return super().text if self.written is None else self.written

    @property
    def attempts(self) -> int:
        """The number of answers that were asked for."""
        return max(1, len(self.replies))

    def _known(self) -> dict[str, object]:
        asked = {"fits": self.fits, "length": self.length, "attempts": self.attempts}
        return super()._known() if self.fits is None else {**asked, **super()._known()}

    def _repr_html_(self) -> str:
        if self.fits is None:
            return super()._repr_html_()
        shown = f'<div class="qvk-text" dir="auto">{html(self.text)}</div>'
        told = [count(self.attempts, "attempt"), "fits" if self.fits else "does not fit"]
        told += [f"length {self.length:,}"] if self.length is not None else []
        whole = shown if self.written is not None else reply_blocks(self.reply)
        return framed(
            strip(pictures_of(self.reply.plan)), whole, facts(*told), notes(self.warnings)
        )


def write_from_image(
    chat: VisionChat,
    image: Media,
    *,
    style: str | None = None,
    num_words: int | None = None,
    words: int | None = None,
    characters: int | None = None,
    form: VerseForm | str | None = None,
    max_attempts: int = MOST_ATTEMPTS,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> Writing:
    """Write a story, a poem or another text about a picture, of a length or a form.

    A length (`words=`, `characters=`) is held within a tenth: a text that is too short is
    continued, one that is too long is shortened. Verse of a form (`form=`) that lacks something is
    written again, and the model is told what it lacks. After `max_attempts` answers the nearest
    text is given, with `fits` False. `num_words=` is asked for once, and not counted.

    Example:
        print(write_from_image(chat, "sunset.jpg", style="a poem", num_words=50))
        story = write_from_image(chat, "sunset.jpg", words=200)
        print(story.length, story.fits, story.attempts)
        print(write_from_image(chat, "sunset.jpg", form="七言律诗", language="zh"))

    Args:
        chat: the model to ask.
        image: the picture, or a `VideoPart`.
        style: the kind of text, such as "a poem" or "an advertisement"; None is a short story.
        num_words: the approximate number of words (of characters in Chinese); None is 150.
        words: the number of words, as `count_words` counts them: what stands between white space,
            and each Chinese character.
        characters: the number of letters and digits, of Chinese characters in Chinese; white space
            and punctuation are none.
        form: a form of verse: a `VerseForm`, or the name of one of `VERSE_FORMS`, such as
            "七言律诗", "haiku" or "sonnet". Lines, characters, syllables and initials are checked;
            rhymes and tones are not.
        max_attempts: the most answers to ask for, 1 to 10.
        language: the language of prompt and text, "en" or "zh".
        prompt: your own prompt; `{style}` and `{words}` in it are replaced; with a length, such as
            "200 words", `{length}` too; with a form its name `{form}` and its `{rule}` alone.
        sampling: the generation settings; None samples with temperature 0.9.
        budget: the `PixelBudget` of the picture, or a preset such as "quick".

    Returns:
        The text that was written. An attempt after the first that fails ends the attempts, and is
        told by `warnings`.

    Raises:
        MessageError: a number is no whole number in its range, the form is not known, or more than
            one of num_words, words, characters and form was given.
        InputError: the picture cannot be used.
    """
    target = _target(num_words, words, characters, form, language)
    if type(max_attempts) is not int or not 1 <= max_attempts <= 10:
        raise MessageError(
            f"max_attempts={max_attempts!r} was given", expected="a whole number of 1 to 10"
        )
    chosen_style = chosen_prompt(STYLES, language, style, "style")
    if target is None:
        about = str(_NUM_WORDS if num_words is None else num_words)
        question = chosen_prompt(PROMPTS, language, prompt, style=chosen_style, words=about)
        return Writing(chat.ask(question, image, sampling=sampling or CREATIVE, budget=budget))
    if isinstance(target, VerseTarget):
        question = target.question(prompt)
    else:
        length = target.length.named(language)
        number = str(target.length.number)
        question = chosen_prompt(
            LENGTH_PROMPTS, language, prompt, style=chosen_style, length=length, words=number
        )
    settings = sampling or _room_for(target)
    writer = Writer(chat, image, question, settings, budget)
    return _writing(writer.write(target, max_attempts), target)


def _target(
    num_words: int | None,
    words: int | None,
    characters: int | None,
    form: VerseForm | str | None,
    language: str,
) -> LengthTarget | VerseTarget | None:
    given = {"num_words": num_words, "words": words, "characters": characters, "form": form}
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise MessageError(f"{' and '.join(named)} were given", expected="one of them")
    chosen_prompt(PROMPTS, language)  # the language is known
    if num_words is not None and (type(num_words) is not int or num_words < 1):
        raise MessageError(f"num_words={num_words!r} was given", expected="a whole number above 0")
    if form is not None:
        return VerseTarget(as_verse_form(form), language)
    unit: Unit
    for unit, number in (("words", words), ("characters", characters)):
        if number is not None:
            return LengthTarget(Length(number, unit), language)
    return None


def _room_for(target: LengthTarget | VerseTarget) -> Sampling:
    """The settings of free writing, with room for a long text: up to three tokens a word."""
    number = target.length.number if isinstance(target, LengthTarget) else 0
    return Sampling(temperature=0.9, top_p=0.95, max_new_tokens=max(1024, 3 * number))


def _writing(found: Draft, target: LengthTarget | VerseTarget) -> Writing:
    judged = target.judge(found.text)
    return Writing(
        reply=found.reply,
        written=None if found.text == found.reply.text.strip() else found.text,
        fits=judged.fits,
        length=judged.length,
        lines=judged.lines,
        replies=found.replies,
        warnings=(*judged.problems, *found.warnings),
    )
