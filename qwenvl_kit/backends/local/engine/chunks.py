"""Chunked prefill: a long prompt is computed in parts, between which others get their next tokens.

One pass over a long prompt would hold up every answer that is being written, and could be neither
cancelled nor bounded in its memory. The parts attend to what was computed before them, so the
result is that of one pass: Agrawal et al., "SARATHI: Efficient LLM Inference by Piggybacking
Decodes with Chunked Prefills", 2023 (arXiv:2308.16369). Pictures may lie across the border of two
parts.
"""

from __future__ import annotations

CHUNK_TOKENS = 1024
"""Tokens of a chunk while answers wait for their next token. Matrix products of so many rows keep
a processor as busy as longer ones (a prompt of 15,000 tokens takes the same time within 3%), and
no answer waits for longer than they take."""

ALONE_CHUNK_TOKENS = 8192
"""Tokens of a chunk while nothing else runs. It bounds the memory of activations, and a request
that is cancelled ends between two chunks. An accelerator needs more tokens than a processor until
the time of a pass grows with them."""


def chunk_stops(start: int, stop: int, chunk_tokens: int) -> list[int]:
    """The places at which the chunks of a prompt end; the last is `stop`.

    The chunks are of about the same length, at most half as long again as was asked for: a short
    last chunk would cost a pass over all weights for little.

    Args:
        start: the place at which the first chunk begins.
        stop: the place at which the last one ends.
        chunk_tokens: the wanted length of a chunk.
    """
    length = stop - start
    count = max(1, round(length / chunk_tokens))
    return [start + length * number // count for number in range(1, count + 1)]
