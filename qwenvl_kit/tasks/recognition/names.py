"""The names of a thing in several languages, as models write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from qwenvl_kit.errors import MessageError
from qwenvl_kit.grounding.key_names import plain_name

_LANGUAGES = MappingProxyType(
    {
        "en": ("English", "英文"),
        "zh": ("Chinese", "中文"),
        "ja": ("Japanese", "日文"),
        "ko": ("Korean", "韩文"),
        "fr": ("French", "法文"),
        "de": ("German", "德文"),
        "es": ("Spanish", "西班牙文"),
        "pt": ("Portuguese", "葡萄牙文"),
        "it": ("Italian", "意大利文"),
        "ru": ("Russian", "俄文"),
        "ar": ("Arabic", "阿拉伯文"),
        "th": ("Thai", "泰文"),
        "vi": ("Vietnamese", "越南文"),
    }
)
"""Languages by their code (ISO 639-1): their names in English and in Chinese."""

_FORMS = ("name{}", "{}name", "{}", "names{}", "label{}", "{}label", "{}名", "{}名称", "名称{}")
"""The forms of a field for the name in a language, without other signs than letters: `name_zh` and
`chinese_name` (cookbook `omni_recognition.ipynb` of Qwen3-VL, and public answers)."""

_HOLDERS = ("name", "names", "label", "labels", "名称", "title")
"""Fields that hold an object of names by language."""

_ALIASES = MappingProxyType({"zh": ("cn", "zhcn", "zhhans", "汉语"), "en": ("eng",), "ja": ("jp",)})


@dataclass(frozen=True)
class NamedIn:
    """A language in which names are asked for.

    Attributes:
        code: the code or word of the caller.
    """

    code: str

    @property
    def field(self) -> str:
        """The field of the answer that holds the name, such as `name_zh`."""
        return f"name_{'_'.join(self.code.lower().split())}"

    def words(self, language: str) -> str:
        """The language's own name, in English or in Chinese."""
        english, chinese = _LANGUAGES.get(self.code, (self.code, self.code))
        return chinese if language == "zh" else english

    def name_in(self, fields: Mapping[str, Any]) -> str:
        """The name in this language among the fields of an answer; empty if there is none."""
        by_plain = {plain_name(name): value for name, value in reversed(list(fields.items()))}
        held = [by_plain[name] for name in _HOLDERS if isinstance(by_plain.get(name), dict)]
        for words in self._known_as():
            for form in _FORMS:
                if text := _text(by_plain.get(form.format(words))):
                    return text
            for holder in held:
                inside = {plain_name(name): value for name, value in holder.items()}
                if text := _text(inside.get(words)):
                    return text
        return ""

    def _known_as(self) -> Iterator[str]:
        yield plain_name(self.code)
        yield from map(plain_name, _LANGUAGES.get(self.code, ()))
        yield from _ALIASES.get(self.code, ())


def checked_languages(names: Sequence[str]) -> tuple[NamedIn, ...]:
    """Return the languages of a caller.

    Raises:
        MessageError: there are none, or one is empty, no text, or given twice.
    """
    given = list(names) if isinstance(names, Sequence) and not isinstance(names, str) else []
    are_texts = all(isinstance(name, str) and name.strip() for name in given)
    if not given or not are_texts or len(set(given)) < len(given):
        raise MessageError(
            f"names={names!r} were given",
            expected="languages that differ, by their code or in words",
            hint="names=['zh', 'en']",
        )
    return tuple(NamedIn(name.strip()) for name in given)


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
