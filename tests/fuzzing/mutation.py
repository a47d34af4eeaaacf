"""Random changes of bytes, with pieces that parsers trip over; everything follows from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

PIECES = (
    b"", b"\x00", b"\xff", b"\xed\xa0\x80", b"\xc3", b"\n", b"\\", b'"', b"'", b"{", b"}", b"[",
    b"]", b"(", b")", b",", b":", b"<", b">", b"/", b"%", b"@", b"-", b"1e999", b"NaN",
    b"Infinity", b"-0", b"9" * 400, b"null", b"true", b"\\u0000", b"\\ud800", b"{}" * 50,
    b"[" * 1500, b'{"a":' * 1500, b"<tool_call>", b"</tool_call>", b"<function=f>",
    b"</function>", b"<parameter=a>", b"</parameter>", b"<think>", b"</think>", b"<|im_start|>",
    b"<|im_end|>", b"<|box_start|>", b"<|box_end|>", b"<|object_ref_start|>", b"<|image_pad|>",
    b"bbox_2d", b"point_2d", b"label", b"name", b"arguments", b"role", b"content", b"type",
    b"image_url", b"text", b"http://", b"data:", b"file:", b"127.0.0.1", b"[::1]", b"0x7f",
    b"\xe2\x80\xae", b"\xef\xbc\x91", b"\x7fELF", b"\x89PNG\r\n\x1a\n", b"\x00\x00\x00\x00",
    b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"IHDR", b"IDAT", b"Exif\x00\x00",
)  # fmt: skip


def mutated(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds, or two of them, changed in one place or several."""
    content = bytearray(rng.choice(seeds))
    if rng.random() < 0.1:
        other = rng.choice(seeds)
        content = content[: rng.randint(0, len(content))] + other[rng.randint(0, len(other)) :]
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 9))):
        at = rng.randint(0, len(content))
        kind = rng.random()
        if kind < 0.3:
            content[at:at] = rng.choice(PIECES)
        elif kind < 0.5:
            end = min(len(content), at + rng.choice((1, 1, 2, 4, 16, 64)))
            del content[at:end]
        elif kind < 0.7 and content:
            place = min(at, len(content) - 1)
            content[place] = rng.choice(
                (content[place] ^ (1 << rng.randrange(8)), rng.randrange(256))
            )
        elif kind < 0.85 and content:
            start = rng.randint(0, len(content))
            content[at:at] = content[start : start + rng.choice((1, 4, 16, 64))]
        else:
            del content[at:]
    return bytes(content)


def inputs(seed: str, seeds: Sequence[bytes]) -> Iterator[bytes]:
    """The seeds themselves, and then changes of them without end."""
    yield from seeds
    rng = random.Random(seed)
    while True:
        yield mutated(rng, seeds)
