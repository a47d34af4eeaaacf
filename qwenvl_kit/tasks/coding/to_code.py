"""Code that draws what a picture shows: a page, a drawing, a chart or a diagram."""

from __future__ import annotations

from types import MappingProxyType

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.display.replies import ENDS
from qwenvl_kit.messages.thinking import CLOSE
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.results import Reply
from qwenvl_kit.tasks.coding.code import Code
from qwenvl_kit.tasks.coding.forms import CodeForm
from qwenvl_kit.tasks.coding.reading import read_code
from qwenvl_kit.tasks.prompts import Language, check_choice, chosen_prompt

PROMPTS = MappingProxyType(
    {
        "html": {
            "en": "Analyze this screenshot and convert it to clean, functional and modern HTML "
            "code.",
            "zh": "分析这张截图，并将其转换为简洁、可用的现代HTML代码。",
        },
        "svg": {
            "en": "Convert this image to SVG code that can reproduce the image.",
            "zh": "将这张图片转换为能够重现该图片的SVG代码。",
        },
        "matplotlib": {
            "en": "Convert this chart image to Python matplotlib code that can reproduce the "
            "chart.",
            "zh": "将这张图表图片转换为能够重现该图表的Python matplotlib代码。",
        },
        "mermaid": {
            "en": "Convert this diagram image to Mermaid code that can reproduce the diagram.",
            "zh": "将这张示意图转换为能够重现该图的Mermaid代码。",
        },
    }
)
"""The prompts by form. "html" and "matplotlib" in English are those of Qwen3-VL's notebook
`cookbooks/mmcode.ipynb`; the others are worded after them."""

MOST_TOKENS = 8192
"""The most tokens of an answer. The same notebook allows 16,384; its page takes some 3,000."""


def to_code(
    chat: VisionChat,
    image: Media,
    form: CodeForm = "html",
    *,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> Code:
    """Write code for what a picture shows; its form is checked, and it is never run.

    | form | the code is | checked |
    |---|---|---|
    | "html" | a page | tags, comments and elements are whole; what is loaded from elsewhere |
    | "svg" | a drawing | XML by expat, without entities; name space; scripts |
    | "matplotlib" | a chart in Python | it parses (`ast.parse`); imports; calls that reach files |
    | "mermaid" | a diagram in text | its first word is a diagram's; brackets and blocks close |

    Example:
        code = to_code(chat, "screenshot.png", "html")
        if code.fits:
            code.save("page.html")

    Args:
        chat: the model to ask.
        image: the screenshot, chart, sketch or diagram.
        form: the form of the code.
        language: the language of the prompt, "en" or "zh".
        prompt: your own prompt.
        sampling: the generation settings; None is greedy, with up to 8,192 tokens.
        budget: the `PixelBudget` of the picture, or a preset such as "quick"; small print needs a
            larger one.

    Returns:
        The code. An answer without code, or with code that is cut off or not of the form, is told
        by `warnings`, and `fits` is False.

    Raises:
        MessageError: the form or language is not known.
        InputError: the picture cannot be used.
        GenerationError: the model failed.
    """
    check_choice(form, PROMPTS, "form")
    question = chosen_prompt(PROMPTS[form], language, prompt)
    reply = chat.ask(
        question, image, sampling=sampling or Sampling(max_new_tokens=MOST_TOKENS), budget=budget
    )
    return code_of(reply, form)


def code_of(reply: Reply, form: CodeForm = "html") -> Code:
    """Read the code in a reply, as `to_code` does: for streams, batches and conversations.

    Args:
        reply: the reply.
        form: the form of the code.

    Raises:
        MessageError: the form is not known.
    """
    check_choice(form, PROMPTS, "form")
    answer, begun = _without_thoughts(reply.text)
    found = read_code(answer, form)
    ended = reply.finish_reason
    cut = f"the answer was {ENDS[ended]}" if ended in ENDS else ""
    start = begun + found.start
    return Code(
        text=found.text,
        language=found.language,
        form=form,
        fits=not (found.problems or cut),
        warnings=tuple(filter(None, (cut, *found.problems, *found.notes))),
        imports=found.imports,
        confidence=reply.confidence_between(start, start + len(found.text)) if found.text else None,
        reply=reply,
    )


def _without_thoughts(text: str) -> tuple[str, int]:
    """The answer behind thoughts that a server left in it, and its index in the text.

    A page may hold the tag as text: it counts only before the first fence.
    """
    end = text.find(CLOSE)
    if end < 0 or ("```" in text[:end] and not text.lstrip().startswith("<think>")):
        return text, 0
    return text[end + len(CLOSE) :], end + len(CLOSE)
