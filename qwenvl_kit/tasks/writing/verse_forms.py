"""Forms of verse: so many lines of so many characters or syllables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from qwenvl_kit.errors import MessageError

MOST_LINES = 200


@dataclass(frozen=True)
class VerseForm:
    """A form of verse, as far as it can be counted. Rhymes, tones and metres are not checked.

    Example:
        VerseForm("a quatrain", num_lines=4)
        VERSE_FORMS["七言绝句"].with_initials("春夏秋冬")   # 藏头诗

    Attributes:
        name: the name, as a prompt says it: "a sonnet", "一首七言律诗".
        num_lines: the number of lines; of Chinese verse, the number of 句.
        num_characters: the Chinese characters of each line, without punctuation; None for verse
            that is not counted so.
        syllables: the syllables of each line, in English, by the rule of `count_syllables`; each
            may be off by one, as that rule is; None for verse that is not counted so.
        initials: the letter or character with which each line begins, read downwards; None for
            any.

    Raises:
        MessageError: a number is no whole number in its range, or the fields do not fit together.
    """

    name: str
    num_lines: int
    num_characters: int | None = None
    syllables: tuple[int, ...] | None = None
    initials: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise MessageError(f"name={self.name!r} was given", expected="the name of a form")
        _check_count("num_lines", self.num_lines, MOST_LINES)
        if self.num_characters is not None:
            _check_count("num_characters", self.num_characters, 50)
        for number in self.syllables or ():
            _check_count("syllables", number, 50)
        for name in ("syllables", "initials"):
            value = getattr(self, name)
            if value is not None and len(value) != self.num_lines:
                raise MessageError(
                    f"{name}={value!r} was given for {self.num_lines} lines",
                    expected="one for each line",
                )

    def with_initials(self, initials: str) -> VerseForm:
        """Return the form with a letter or character for the beginning of each line.

        Raises:
            MessageError: there are more or fewer of them than lines.
        """
        return replace(self, initials=initials)


def _check_count(name: str, value: object, most: int) -> None:
    if type(value) is not int or not 1 <= value <= most:
        raise MessageError(f"{name}={value!r} was given", expected=f"a whole number of 1 to {most}")


VERSE_FORMS: Mapping[str, VerseForm] = MappingProxyType(
    {
        "五言绝句": VerseForm("一首五言绝句", 4, 5),
        "七言绝句": VerseForm("一首七言绝句", 4, 7),
        "五言律诗": VerseForm("一首五言律诗", 8, 5),
        "七言律诗": VerseForm("一首七言律诗", 8, 7),
        "haiku": VerseForm("a haiku", 3, syllables=(5, 7, 5)),
        "limerick": VerseForm("a limerick", 5),
        "sonnet": VerseForm("a sonnet", 14),
    }
)
"""The forms that have a name."""


def as_verse_form(form: VerseForm | str) -> VerseForm:
    """Return a form, or the one with a name; 詩 and 絕 are read as 诗 and 绝.

    Raises:
        MessageError: there is no form of that name.
    """
    if isinstance(form, VerseForm):
        return form
    name = form.translate(str.maketrans("詩絕", "诗绝")) if isinstance(form, str) else ""
    if name not in VERSE_FORMS:
        raise MessageError(
            f"form={form!r} was given",
            expected=f"one of {', '.join(VERSE_FORMS)}, or a VerseForm",
            hint='VerseForm("a quatrain", num_lines=4)',
        )
    return VERSE_FORMS[name]
