"""Packages that are missing or too old, found without importing them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata

from qwenvl_kit.families import Family


def requirements_of(family: Family) -> tuple[str, ...]:
    """Return the requirements to run a family, in pip's form."""
    return (f"transformers>={family.since_transformers}", f"torch>={family.since_torch}")


def lacking(packages: Iterable[str]) -> tuple[str, ...]:
    """Return the requirements that are not installed, or too old.

    Args:
        packages: requirements in pip's form, such as "peft>=0.21".
    """
    return tuple(package for package in packages if not _is_installed(package))


def install_command(packages: tuple[str, ...]) -> str:
    """Return the command that installs packages, each in quotes: `>` has a meaning in a shell."""
    quoted = (f'"{package}"' for package in packages)
    return f"pip install {' '.join(quoted)}"


def _is_installed(package: str) -> bool:
    from packaging.requirements import Requirement

    requirement = Requirement(package)
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(version, prereleases=True)
