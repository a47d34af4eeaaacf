"""The aims of a text, a length or a form, and the words that ask for it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from qwenvl_kit.tasks.prompts import chosen_prompt
from qwenvl_kit.tasks.writing.lengths import Length
from qwenvl_kit.tasks.writing.verse import find_verse
from qwenvl_kit.tasks.writing.verse_forms import VerseForm

FORM_PROMPTS = MappingProxyType(
    {
        "en": "Write {form} about this image: {rule}. Write the verse alone, each line on a line "
        "of its own, without title and remarks.",
        "zh": "根据这张图片写{form}：{rule}。只写诗句，每句一行，不要标题和注释。",
    }
)
CONTINUE_PROMPTS = MappingProxyType(
    {
        "en": "The text has {found}, and {wanted} were asked for. Continue it from where it ends, "
        "with about {missing} more. Write only the continuation.",
        "zh": "这篇文字有{found}，要求{wanted}。请从结尾处续写约{missing}。只写续写的部分。",
    }
)
SHORTEN_PROMPTS = MappingProxyType(
    {
        "en": "The text has {found}, and {wanted} were asked for. Shorten it to {wanted}, and keep "
        "what matters. Write only the shortened text.",
        "zh": "这篇文字有{found}，要求{wanted}。请压缩到{wanted}，保留要点。只写压缩后的全文。",
    }
)
AGAIN_PROMPTS = MappingProxyType(
    {
        "en": "This is not {form} yet: {problems}. Write it again: {rule}. Write the verse alone.",
        "zh": "这还不是{form}：{problems}。请重写：{rule}。只写诗句。",
    }
)
_MOST_TOLD = 4


@dataclass(frozen=True)
class Judged:
    """A text, held to what was asked for.

    Attributes:
        fits: True if it is that.
        distance: a measure of what is missing; 0 if it fits. For comparisons alone.
        problems: sentences on what it lacks.
        length: its words or characters, if a length was asked for.
        lines: its lines of verse, if a form was asked for.
    """

    fits: bool
    distance: float
    problems: tuple[str, ...] = ()
    length: int | None = None
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class LengthTarget:
    """A text of a length.

    Attributes:
        length: the length.
        language: the language of the prompts.
    """

    length: Length
    language: str

    def judge(self, text: str) -> Judged:
        """Count a text."""
        found, wanted = self.length.of(text), self.length.number
        fits = self.length.fits(found)
        said = f"the text has {found:,} {self.length.unit}, and {wanted:,} were asked for"
        return Judged(fits, abs(found - wanted), () if fits else (said,), found)

    def is_short(self, text: str) -> bool:
        """True if a text is to be continued."""
        return self.length.of(text) < self.length.number

    def next_question(self, text: str) -> str:
        """The question that makes a text longer or shorter."""
        found = self.length.of(text)
        prompts = CONTINUE_PROMPTS if self.is_short(text) else SHORTEN_PROMPTS
        return chosen_prompt(
            prompts,
            self.language,
            found=self.length.named(self.language, found),
            wanted=self.length.named(self.language),
            missing=self.length.named(self.language, max(1, self.length.number - found)),
        )


@dataclass(frozen=True)
class VerseTarget:
    """A text in a form of verse.

    Attributes:
        form: the form.
        language: the language of the prompts.
    """

    form: VerseForm
    language: str

    def question(self, own: str | None = None) -> str:
        """The first question: the built-in one, or the caller's own."""
        return chosen_prompt(
            FORM_PROMPTS, self.language, own, form=self.form.name, rule=self._rule()
        )

    def judge(self, text: str) -> Judged:
        """Find the verse in a text, and hold it to the form."""
        found = find_verse(text, self.form)
        return Judged(not found.problems, len(found.problems), found.problems, None, found.lines)

    def is_short(self, _: str) -> bool:
        """False: verse is written anew."""
        return False

    def next_question(self, text: str) -> str:
        """The question that says what a text lacks."""
        problems = find_verse(text, self.form, self.language).problems
        mark = "; " if self.language == "en" else "；"
        return chosen_prompt(
            AGAIN_PROMPTS,
            self.language,
            form=self.form.name,
            rule=self._rule(),
            problems=mark.join(problems[:_MOST_TOLD]),
        )

    def _rule(self) -> str:
        said = _RULES[self.language]
        form = self.form
        parts = [said["lines"].format(form.num_lines)]
        if form.num_characters is not None:
            parts.append(said["characters"].format(form.num_characters))
        if form.syllables is not None:
            parts.append(said["syllables"].format("-".join(map(str, form.syllables))))
        if form.initials is not None:
            parts.append(said["initials"].format(said["mark"].join(form.initials)))
        return said["mark"].join(parts)


_RULES: Mapping[str, Mapping[str, str]] = {
    "en": {
        "lines": "{} lines",
        "characters": "{} Chinese characters in each, without punctuation",
        "syllables": "of {} syllables",
        "initials": "the lines begin with {}",
        "mark": ", ",
    },
    "zh": {
        "lines": "共{}句",
        "characters": "每句{}个字（不计标点）",
        "syllables": "各句音节数为{}",
        "initials": "各句首字依次为{}",
        "mark": "、",
    },
}
