"""The edit distance of two texts, whose work is bounded by the greatest distance that matters."""

from __future__ import annotations


def edit_distance(first: str, second: str, limit: int | None = None) -> int:
    """Return the least number of characters to insert, delete or replace (Levenshtein 1966).

    It takes a step for each character of the shorter text; a step works on all characters of the
    longer one at once, as bits of a whole number (Myers 1999, "A fast bit-vector algorithm for
    approximate string matching"; Hyyrö 2003, "A bit-vector algorithm for computing Levenshtein and
    Damerau edit distances"). It stops once the distance cannot be within the limit any more.

    Args:
        first: a text.
        second: the other text.
        limit: the greatest distance that matters; a greater one is returned as `limit + 1`. None
            for no limit.
    """
    short, long = sorted(_without_ends(first, second), key=len)
    most = len(long) if limit is None else limit
    if len(long) - len(short) > most:
        return most + 1
    return min(_distance(short, long, most), most + 1) if short else len(long)


def _without_ends(first: str, second: str) -> tuple[str, str]:
    """The texts without the characters at their beginnings and ends that are the same."""
    if first == second:
        return "", ""
    shortest = min(len(first), len(second))
    start = next((at for at in range(shortest) if first[at] != second[at]), shortest)
    first, second = first[start:], second[start:]
    shortest -= start
    stop = next((at for at in range(shortest) if first[-1 - at] != second[-1 - at]), shortest)
    return first[: len(first) - stop], second[: len(second) - stop]


def _distance(short: str, long: str, most: int) -> int:
    """The distance; a number above `most` if it is greater.

    A step knows by two numbers, whose bits are the places of `long`, at which places the distance
    grows by one (`up`) and shrinks by one (`down`).
    """
    places = _places(long)
    last = 1 << (len(long) - 1)
    every = (last << 1) - 1
    up, down, distance = every, 0, len(long)
    for left, character in enumerate(short, 1 - len(short)):
        equal = places.get(character, 0)
        across = (((equal & up) + up) ^ up) | equal
        rises, falls = down | (every & ~(across | up)), up & across
        distance += bool(rises & last) - bool(falls & last)
        if distance + left > most:  # `left` is minus the number of characters that are left
            return most + 1
        rises = (rises << 1) | 1
        vertical = equal | down
        up = ((falls << 1) | ~(vertical | rises)) & every
        down = rises & vertical & every
    return distance


def _places(text: str) -> dict[str, int]:
    """The places of each character, as bits."""
    found: dict[str, int] = {}
    for at, character in enumerate(text):
        found.setdefault(character, 0)
        found[character] |= 1 << at
    return found
