"""Code that a model wrote for a picture."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from qwenvl_kit.display.blocks import clipped, facts, notes
from qwenvl_kit.display.pictures import strip
from qwenvl_kit.display.replies import pictures_of
from qwenvl_kit.display.styles import framed
from qwenvl_kit.display.text import count, html, percent, short_repr
from qwenvl_kit.errors import MessageError
from qwenvl_kit.results import Reply
from qwenvl_kit.tasks.coding.forms import CodeForm
from qwenvl_kit.whole_files import FileKind

_FILES = FileKind(MessageError, "a file of code", "a file that `Code.save` has written")
_MOST_SHOWN = 4000


@dataclass(frozen=True, repr=False)
class Code:
    """Code that a model wrote for a picture. `str(code)` is the code. It was never run.

    Attributes:
        text: the code, without its fence; empty if the answer has none.
        language: the language that the fence of the answer names, in lower case; that of the form
            if it names none.
        form: the form that was asked for.
        fits: True if the code has the form as far as it is checked; see `to_code`.
        warnings: sentences on what is wrong with the form, and on what a reader should know: an
            answer that was cut off, several fences, things that a page loads, imports.
        imports: the packages that code for matplotlib imports; empty for the other forms.
        confidence: the geometric mean of the probabilities of the code's tokens, in [0, 1]; None
            without scores.
        reply: the whole reply.
    """

    text: str
    language: str
    form: CodeForm
    fits: bool
    warnings: tuple[str, ...]
    imports: tuple[str, ...]
    confidence: float | None
    reply: Reply

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return short_repr(
            "Code",
            self.text,
            form=self.form,
            fits=self.fits,
            confidence=self.confidence,
            tokens=self.reply.usage.completion_tokens,
        )

    def _repr_html_(self) -> str:
        """Return the picture, and the code as text: a notebook runs none of it."""
        sure = percent(self.confidence)
        told = (
            self.language,
            count(len(self.text.splitlines()), "line"),
            f"confidence {sure}" if sure else "",
        )
        return framed(
            strip(pictures_of(self.reply.plan)),
            f'<pre dir="ltr">{html(clipped(self.text, _MOST_SHOWN))}</pre>',
            facts(*told),
            notes(self.warnings),
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the code to a file, as UTF-8 and with a line end at its end.

        A file that is there is replaced in one step. Read what a model wrote before you run it or
        open it in your own browser: see `warnings`, and docs/guide/code.md for what they leave out.

        Args:
            path: the file, such as "page.html".

        Returns:
            The path of the file.

        Raises:
            MessageError: there is no code, or the file cannot be written.
        """
        if not self.text.strip():
            raise MessageError("the answer has no code", expected="an answer with code to save")
        content = self.text.rstrip("\n") + "\n"
        _FILES.write(Path(path), content.encode("utf-8", "replace"))
        return Path(path)
