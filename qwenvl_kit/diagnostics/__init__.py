"""What is wrong with this installation, and what cures it.

    import qwenvl_kit

    print(qwenvl_kit.doctor())

or `python -m qwenvl_kit doctor`. Nothing is fetched and nothing is changed.
"""

from __future__ import annotations

from qwenvl_kit.diagnostics.findings import Diagnosis, Finding, Status

__all__ = ["Diagnosis", "Finding", "Status", "doctor"]


def doctor() -> Diagnosis:
    """Look at versions, devices, kernels, decoders and the hub's cache.

    It imports torch and, where they are installed, the libraries whose import is what fails. It
    opens no connection, changes nothing, and never raises: what cannot be looked at is a problem
    of its own.

    Returns:
        The findings, each with its cure. `print` it.
    """
    try:
        from qwenvl_kit.diagnostics.runner import examine
    except ImportError as error:  # the checks need packaging themselves
        detail = f"the checks cannot be loaded: {error}"
        return Diagnosis((Finding("checks", "problem", detail, "pip install packaging"),))
    return examine()
