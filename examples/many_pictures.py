"""A folder of pictures: described so that a run may be interrupted, then asked about all at once.

`python examples/many_pictures.py [FOLDER] [JOURNAL]` writes each description to JOURNAL as soon as
it is there. Run it again after an interruption, with the same two, and it goes on. Without a
folder the pictures beside it are taken; the model is the small one that is part of the package.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from qwenvl_kit import Failure, Request, Sampling, VisionChat

PICTURES = Path(__file__).parent / "pictures"


def describe_all(chat: VisionChat, pictures: Sequence[Path], journal: Path) -> None:
    """As many at a time as there is room for; one that cannot be opened costs itself alone."""
    requests = [
        Request.about("Describe this image.", picture, id=picture.name)
        for picture in [*pictures, Path("missing.png")]
    ]
    for result in chat.ask_many(requests, journal=journal):
        if isinstance(result, Failure):
            print(f"{result.request_id}: {type(result.error).__name__}")
        else:
            print(f"{result.request_id}: {result} ({result.confidence:.2f})")


async def ask_at_once(chat: VisionChat, pictures: Sequence[Path]) -> None:
    """As a service would: whoever asks at the same time is answered together."""
    question, sampling = "How many shapes are there?", Sampling(max_new_tokens=16)
    asked = (chat.ask_async(question, picture, sampling=sampling) for picture in pictures)
    for picture, reply in zip(pictures, await asyncio.gather(*asked)):
        print(f"{picture.name}: {reply}")


def read_along(chat: VisionChat, pictures: Sequence[Path]) -> None:
    """Each piece of each answer as it comes, and the whole answers in the end."""
    requests = [Request.about("Describe this image.", picture) for picture in pictures]
    num_pieces = 0
    with chat.stream_many(requests) as stream:
        for event in stream:
            num_pieces += event.delta is not None
    print(f"{num_pieces} pieces of {len(stream.results)} answers")


def main(folder: Path, journal: Path) -> None:
    pictures = sorted(folder.glob("*.png"))
    with VisionChat.from_pretrained() as chat:
        describe_all(chat, pictures, journal)
        asyncio.run(ask_at_once(chat, pictures))
        read_along(chat, pictures)
        stats = chat.stats()
        print(
            f"{stats.num_replies} replies, {stats.completion_tokens} tokens, "
            f"{stats.reused_tokens} of {stats.prompt_tokens} prompt tokens not computed again"
        )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        given = [Path(argument) for argument in sys.argv[1:3]]
        defaults = [PICTURES, Path(temporary) / "run.jsonl"]
        main(*(given + defaults[len(given) :]))
