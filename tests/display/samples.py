"""Values with every part that a form can show, the same in every run."""

from __future__ import annotations

import math
from dataclasses import replace

import PIL.Image

from qwenvl_kit import (
    Diagnosis,
    Failure,
    Finding,
    ImagePlan,
    Plan,
    Reply,
    Size,
    Timing,
    TokenAlternative,
    TokenScore,
    Usage,
    VideoPlan,
)
from qwenvl_kit.errors import MediaNotFoundError
from qwenvl_kit.results import Results

PLAN = Plan(
    prompt_tokens=90,
    visual_tokens=64,
    images=(ImagePlan("messages[0].parts[0]", Size(480, 640), Size(224, 280), 60),),
    videos=(
        VideoPlan(
            where="messages[0].parts[1]",
            original=Size(84, 112),
            resized=Size(56, 84),
            frame_indices=(0, 2, 4, 6, 8),
            timestamps_seconds=(0.0, 1.0, 2.0, 3.0, 4.5),
            tokens=4,
        ),
    ),
    max_new_tokens=32,
    context_tokens=2048,
    kv_cache_bytes=None,
    activation_bytes=None,
    weight_bytes=None,
)
RED = PIL.Image.new("RGB", (64, 48), "red")


def token(text: str, probability: float, *others: tuple[str, float]) -> TokenScore:
    """A token, with itself and others as its alternatives."""
    ranked = [(text, probability), *others]
    alternatives = tuple(TokenAlternative(name, 1, math.log(p)) for name, p in ranked)
    return TokenScore(text, 1, math.log(probability), alternatives)


def reply_of(*tokens: TokenScore) -> Reply:
    """A reply whose text is that of its tokens."""
    return Reply(
        text="".join(each.text for each in tokens if not each.is_hidden),
        finish_reason="stop",
        tokens=tokens,
        end_token=None,
        usage=Usage(90, 64, len(tokens)),
        timing=Timing(0.01, 0.02, 0.1, 0.3, 0.5),
        plan=PLAN,
    )


def said(text: str) -> Reply:
    """A reply without scores."""
    return replace(reply_of(), text=text, tokens=None)


SURE = reply_of(token("A", 0.99), token(" red", 0.6, (" blue", 0.3)), token(" circle.", 0.98))
FAILURE = Failure(1, MediaNotFoundError("no file at cat.jpg", where="messages[0].parts[0]"), "cat")
RESULTS = Results([SURE, FAILURE, replace(said("Two."), request_id="two")])
FINDING = Finding("torch", "problem", "2.5 is too old", "pip install -U torch")
DIAGNOSIS = Diagnosis((FINDING, Finding("numpy", "ok", "2.3")))

HOSTILE = (
    "<script>document.title='ran'</script>",
    "<img src=x onerror=\"document.title='ran'\">",
    "<svg/onload=document.title='ran'>",
    "</style><script>document.title='ran'</script>",
    "</div></details></table><script>document.title='ran'</script>",
    '"><video src=x controls OnLoadStart="document.title=\'ran\'">',
    "' onmouseover='document.title=\"ran\"' autofocus onfocus='document.title=\"ran\"",
    '"onfocus="document.title=\'ran\'"autofocus tabindex=1 x="',
    "<iframe src=\"javascript:parent.document.title='ran'\"></iframe>",
    "<a href=\"javascript:document.title='ran'\">here</a>",
    "<details open ontoggle=\"document.title='ran'\"><summary>x",
    "<style>@import 'http://127.0.0.1:9/x';body{display:none}</style>",
    "<meta http-equiv=refresh content=\"0;url=javascript:document.title='ran'\">",
    "<!-- --><script>document.title='ran'</script><!--",
    "&lt;script&gt; &#60;script&#62; &amp;",
    "]]><script>document.title='ran'</script>",
    "<math><mtext><table><mglyph><style><!--</style><img src onerror=document.title='ran'>",
    "{{constructor.constructor('document.title=1')()}} ${7*7} <%= 1 %>",
    "safe\u202egnp.exe \u2066hidden\u2069 \u200b \x1b[31mred\x1b[0m \x00 \ud800",
    "<plaintext><xmp><noscript><textarea><title>",
)
"""Texts that a model may have read in a picture: markup that runs, and text that misleads."""
