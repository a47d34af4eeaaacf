"""Shows that the words people search lead to their pages: `python -m tests.docs.search SITE`.

It reads the index that a built site searches. A section is found if each word of the search begins
a word of it, as lunr and its successors do; sections with the words in their title come first.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

WANTED = {
    "bounding box": "guide/grounding.html",
    "OCR": "cookbook/read_text.html",
    "JSON": "cookbook/extract.html",
    "batch inference": "cookbook/batches.html",
    "object detection": "guide/grounding.html",
    "VRAM": "guide/inspecting.html",
    "out of memory": "guide/troubleshooting.html",
    "logprobs": "guide/confidence.html",
    "function calling": "guide/tools.html",
    "structured output": "guide/typed_answers.html",
    "min_pixels": "guide/coming_from.html",
    "LoRA": "guide/adapters.html",
    "CUDA out of memory": "guide/troubleshooting.html",
    "LangChain": "guide/integrations.html",
    "图片": "zh/guide/pictures.html",
}
"""Pages that must be among those that are found."""


def found(sections: list[dict[str, Any]], words: str) -> list[str]:
    """The places that have all words, those with them in their title first."""
    wanted = [_beginning(word) for word in words.split()]
    hits = []
    for section in sections:
        title, text = section["title"], f"{section['title']} {section['text']}"
        if all(word.search(text) for word in wanted):
            hits.append((not all(word.search(title) for word in wanted), section["location"]))
    return [location for _, location in sorted(hits, key=lambda hit: hit[0])]


def _beginning(word: str) -> re.Pattern[str]:
    before = r"\b" if word.isascii() else ""  # Chinese has no blanks
    return re.compile(before + re.escape(word), re.IGNORECASE)


def main(site: Path) -> None:
    """Tell for each search where its page stands in the results; an error if it is not there."""
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    lost = []
    for words, page in WANTED.items():
        places = [place.partition("#")[0] for place in found(index["docs"], words)]
        pages = list(dict.fromkeys(places))
        if page in pages:
            print(f"{words}: {page} is page {pages.index(page) + 1} of {len(pages)}")
        else:
            lost.append(f"{words} does not lead to {page}, but to {pages[:5]}")
    if lost:
        raise SystemExit("\n".join(lost))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
