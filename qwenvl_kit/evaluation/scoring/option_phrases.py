"""The phrases with which answers name an option, as patterns over `reading.plain` text.

They take bounded room, so that no text makes them slow.
"""

from __future__ import annotations

import re

OPEN = r"[\s\"'(\[{<$*_:]{0,5}"
"""Marks before a letter."""

SHUT = r"[\s\"')\]}>$*_.:,;!?]{0,5}"
"""Marks behind a letter."""

LETTER = r"(?<![A-Za-z0-9])(?P<letter>[A-Z])(?![A-Za-z0-9]|['-][A-Za-z])"

_ADVERB = r"(?: (?:most )?(?:likely|clearly|therefore|thus|probably|definitely|definitively))?"
_LINK = (
    r"[\s\"')\]*]{0,4}(?:(?:is|was|are|would be|should be|must be|to be|appears to be|seems to be)"
    rf"{_ADVERB}|would{_ADVERB} be|=|:|-|应该是|应该为|应该选|应为|应是|应选|就是|是|为|為|选|選"
    r"|は|은|는)"
)
_OF = r"(?: (?:to|for) (?:the|this) [\w -]{0,40}?)?"
_NAMED = r"(?:(?:the )?(?:correct |best |right )?(?:answer|option|choice|letter)\b ?:?|选项|選項)?"
_GIVEN = (
    r"(?:(?:answer|solution)s?\b|(?:i|i'd|i'll|we|would|will) (?:choose|select|pick|go with)\b"
    r"|答案|(?<!不)(?:选择|選擇|选|選)|정답|답|答え|正解)"
)
_NUMBERED = (
    r"(?:(?:option|choice|antwort|réponse|respuesta|resposta|risposta|ответ)\b|选项|選項|回答|옵션)"
)

STATED = re.compile(
    rf"(?i:(?:(?<![a-z0-9])(?=[aiowcrs])|(?=[^\x00-\x7f]))"
    rf"(?:{_GIVEN}{_OF}(?:{_LINK})?|{_NUMBERED}{_OF}{_LINK}){OPEN}{_NAMED}){OPEN}{LETTER}"
)
"""An answer that is stated: "the best answer is **B**", "Option: C", "I choose (B)", "答案是B"."""

STATED_SMALL = re.compile(
    rf"(?i:\banswer{_OF}{_LINK}){OPEN}(?P<letter>[a-z])(?=[)\].\"']{{0,3}}(?:\s|$))(?! [A-Za-z])"
)
"""An answer that is stated with a small letter: "the correct answer is d."."""

CLAIMED = re.compile(
    rf"{LETTER}{SHUT}(?:选项|選項)?\s?(?:(?i:(?:is|seems|appears to be|would be) "
    r"(?:(?:clearly|most likely) )?(?:the )?(?:(?:only|single) )?(?:correct|right|best)\b)(?!-)"
    r"|是?正确|是对的)"
)
"""A letter that is said to be right: "B is the correct answer", "B正确"."""

ENDS = re.compile(
    r"(?i:\b(?:so|thus|hence|therefore|making it|it is|it's|it must be)|所以|因此|故)[\s,:]{0,3}"
    rf"{OPEN}{LETTER}{SHUT}$"
)
"""An end such as "so C." """

BEHIND_MARK = re.compile(rf"[,.;:-]\s?{OPEN}{LETTER}{SHUT}$")
"""An end such as "It is a dog, C"."""

ALONE = re.compile(
    rf"{OPEN}(?i:(?:option|choice|选项) ?)?{OPEN}(?P<letter>[A-Za-z])(?: ?项)?{SHUT}"
)
"""A text that is a letter and nothing else."""

LEADING = re.compile(
    r"[\s\"'*_]{0,4}(?:[(\[](?P<inside>[A-Z])[)\]](?!\w)|(?P<letter>[A-Z])(?: ?[.):,](?!\w)"
    r"| [-–] | \(| (?:because|since|as|due)\b))"
    r"(?! ?(?:(?:is|was) )?(?:not|wrong|incorrect|false|ruled out|excluded)\b)",
    re.A,
)
"""The beginning of a line: "B. a dog", "(B) a dog", "B, because", "B (a dog)"."""

LEADING_SMALL = re.compile(r"[(\[]?(?P<letter>[a-z])[.)\]] ?(?=\S)(?![a-z]\.)")
"""The beginning of a text with a small letter: "b. a dog"."""

BRACKETED = re.compile(
    r"(?<![\w.])(?:[(\[](?P<letter>[A-Z])[)\]]|\((?P<inside>[A-Z])[.:] [^()\n]{1,200}\))", re.A
)
"""A letter in brackets: "(B)", "[B]", "(B. a dog)"."""

MENTIONED = re.compile(rf"(?P<inside>(?i:\b(?:option|choice) |选项|選項)){OPEN}{LETTER}")
"""An option that is named, and neither stated nor claimed: "option B"."""

BOLD = re.compile(r"(\*\*|__)\s?[(\[]?(?P<letter>[A-Z])(?P<inside>[)\].:][^*_\n]{0,200})?\s?\1")
"""A letter in bold, or bold text that begins with one: "**C**", "**C. a dog**"."""

FIGURE = re.compile(
    r"(?i:figures?|fig\.?|images?|panels?|graphs?|plots?|charts?|pictures?|photos?|points?|lines?"
    r"|angles?|boxe?s?|parts?|vitamin|label(?:l?ed)?|marked|types?|groups?|图) ?$"
)
"""Words after which a letter in brackets names something in a picture."""

DENIED_BEHIND = re.compile(
    r"[\s\"')\]]{0,3}(?:[^.,;!?\n]{0,40}?\b(?:not|isn't|aren't|wrong|incorrect|false|cannot|can't"
    r"|doesn't|excluded|ruled out)\b|[^.,;!?\n]{0,12}?[不错錯])",
    re.I,
)
"""Words that deny the letter before them: "(A) is wrong"."""

DENIED_BEFORE = re.compile(
    r"(?:\b(?:not|isn't|nor|neither|except|unlike|eliminate|exclude|rule out)|不是?|排除|除了)"
    r"[\s\"'(]{0,3}$",
    re.I,
)
"""Words that deny the letter behind them: "not (A)"."""

GOES_ON = re.compile(
    r"\s?(?:$|[.,:;!?)\]}>\"'$*_\n]|[^\x00-\x7f])|\s-\s"
    r"|\s(?:\(|(?:because|since|as|which|that|due|based|given|for|where|when|while|according|from"
    r"|but|with|is|here|and|or)\b)",
    re.I,
)
"""The text behind a letter if it is a letter, and not the word "A" or the note "C major"."""

NEIGHBOUR_BEHIND = re.compile(
    r"[\s\"')\]]{0,3}(?:[,/&]|or\b|and\b|nor\b|和|或|与|(?<=\n)(?=[A-Z](?:\n|$)))"
    r"\s?[\"'(\[]{0,2}(?:option )?"
    r"(?P<letter>[A-Z])(?![A-Za-z0-9'])(?! (?:is|are|was|shows|has|would)\b)"
)
"""Another letter behind a letter: "A or B"."""

NEIGHBOUR_BEFORE = re.compile(
    r"(?<![A-Za-z0-9])(?P<letter>[A-Z])[\"')\]]{0,2}\s?(?:[/&]|or|and|nor|和|或|与)\s?[\"'(\[]{0,2}$"
)
"""Another letter before a letter."""

SAYS = re.compile(
    r"(?i:(?:so |thus |therefore,? )?(?:the )?(?:(?:correct|best|right|final|most likely) ){0,2}"
    r"(?:answer|option|choice) ?(?:is|:) ?:?\s?|(?:it|this|that)(?:'s| is) |答案(?:是|为|:) ?)"
)
"""The words before the text of an option: "The answer is a dog"."""

ARTICLE = re.compile(r"(?:an?|the) ", re.I)
OWN_LETTER = re.compile(r"[(\[]?(?P<letter>[A-Z]) ?[).\]:] ?(?=\S)")
"""The letter in front of an option's own text: "B. a dog"."""
