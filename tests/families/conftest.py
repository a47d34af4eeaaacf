"""A tiny random model of every family, loaded by the kit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.local import LocalBackend, load_backend
from qwenvl_kit.checkpoints.packages import lacking, requirements_of
from qwenvl_kit.families import FAMILIES
from tests.local.conftest import conversation, one_thread

__all__ = ["conversation", "one_thread"]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model of a family, built when it is first asked for."""
    from qwenvl_kit.testing import build_tiny_model

    root = tmp_path_factory.mktemp("families")

    def folder_of(family: str) -> Path:
        return (
            root / family if (root / family).exists() else build_tiny_model(root / family, family)
        )

    return folder_of


@pytest.fixture(scope="session", params=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    """Each family in turn that the installed torch runs."""
    old = lacking(requirements_of(FAMILIES[request.param]))
    if old:
        pytest.skip(f"{request.param} needs {' and '.join(old)}")
    return str(request.param)


@pytest.fixture(scope="session")
def folder(family: str, tiny_model: Callable[[str], Path]) -> Path:
    return tiny_model(family)


@pytest.fixture(scope="session")
def backend(folder: Path) -> LocalBackend:
    return load_backend(folder)


@pytest.fixture(scope="session")
def chat(backend: LocalBackend) -> VisionChat:
    return VisionChat(backend)
