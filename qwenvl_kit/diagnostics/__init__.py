"""Diagnostics of this installation: problems, each with the command that cures it.

    import qwenvl_kit

    print(qwenvl_kit.doctor())

or `python -m qwenvl_kit doctor`. Nothing is downloaded and nothing is changed.
"""

from __future__ import annotations

from qwenvl_kit.diagnostics.findings import Diagnosis, Finding, Status

__all__ = ["Diagnosis", "Finding", "Status", "doctor"]


def doctor() -> Diagnosis:
    """Check versions, devices, kernels, decoders and the hub's cache.

    It imports torch and the installed libraries that may fail on import. It opens no connection,
    changes nothing, and never raises: a check that fails is a problem of its own.

    Returns:
        The findings, each with its cure. `print` them.
    """
    try:
        from qwenvl_kit.diagnostics.runner import run_checks
    except ImportError as error:  # the checks need packaging themselves
        detail = f"the checks cannot be loaded: {error}"
        return Diagnosis((Finding("checks", "problem", detail, "pip install packaging"),))
    return run_checks()
