"""The OpenVINO backend: a model that optimum-intel exported, run by OpenVINO in this process.

The engine is that of the local backend; only the network itself is another.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from qwenvl_kit.backends.openvino.folder import find_export
from qwenvl_kit.errors import MissingPackageError

if TYPE_CHECKING:
    from qwenvl_kit.backends.openvino.backend import OpenVinoBackend

__all__ = ["load_openvino_backend"]


def load_openvino_backend(folder: str | os.PathLike[str], **options: Any) -> OpenVinoBackend:
    """Find an exported model, import what runs it, and load it.

    The arguments and errors are those of `VisionChat.from_openvino`. A folder that is wrong is
    told before torch is imported.
    """
    if find_spec("openvino") is None:
        raise MissingPackageError(
            "the package openvino is not installed", hint="pip install 'qwenvl-kit[openvino]'"
        )
    export = find_export(folder)
    from qwenvl_kit.backends.openvino.loader import load_export

    return load_export(export, **options)
