"""Names of rules and prompts, as records have them."""

from __future__ import annotations


def name_of(given: object) -> str:
    """Return a text itself; of a function, a class or a callable object the qualified name.

    Functions without a name of their own, such as two lambdas of one module, have the same name.
    """
    if isinstance(given, str):
        return given
    named = given if hasattr(given, "__qualname__") else type(given)
    return f"{named.__module__}.{named.__qualname__}"
