"""Known troubles of versions, as data: what packages do not say of themselves.

A trouble enters with a source and leaves when the kit's own lower bounds have passed it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from packaging.specifiers import SpecifierSet

from qwenvl_kit.diagnostics.environment import Surroundings
from qwenvl_kit.diagnostics.findings import Finding, Status
from qwenvl_kit.diagnostics.requirements import accepts


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Packages that go wrong together, or alone.

    Attributes:
        packages: the versions that are concerned, by package; the trouble is there if all are
            installed in one of them.
        unless: packages any of which, in such a version, keeps it away.
        detail: what goes wrong.
        cure: a command.
        status: a note, or a problem.
    """

    packages: Mapping[str, str]
    detail: str
    cure: str
    unless: Mapping[str, str] = field(default_factory=dict)
    status: Status = "note"

    def concerns(self, surroundings: Surroundings) -> bool:
        """Whether this environment has it."""
        concerned = [_is_installed(surroundings, *item) for item in self.packages.items()]
        spared = [_is_installed(surroundings, *item) for item in self.unless.items()]
        return all(concerned) and not any(spared)


TROUBLES: tuple[Trouble, ...] = (
    # GHSA-8g5g-8vmr-9782.
    Trouble(
        packages={"pillow": "<13"},
        detail="a crafted JPEG overflows the memory of its decoder (CVE-2026-112403, critical)",
        cure='pip install --upgrade "pillow>=13"',
    ),
    # pytorch/pytorch#166122 and #174051; the vision encoders begin with a Conv3d.
    Trouble(
        packages={"torch": "==2.9.*"},
        detail="on a GPU its Conv3d takes 10 to 20 times as long, and pictures wait for it",
        cure='pip install --upgrade "torch>=2.10" torchvision',
    ),
    # qwen_vl_utils.vision_process: torchcodec, decord, else torchvision.io.read_video, which
    # torchvision 0.24 no longer has.
    Trouble(
        packages={"torchvision": ">=0.24", "qwen-vl-utils": ""},
        unless={"torchcodec": "", "decord": ""},
        detail="qwen-vl-utils' own process_vision_info has nothing to read video files with; the "
        "kit does not call it",
        cure="pip install torchcodec, if you call it yourself",
    ),
    Trouble(
        packages={"decord": ""},
        detail="it is no longer maintained and may hang while it seeks; the kit does not use it",
        cure="pip uninstall decord && pip install av",
    ),
    # transformers' AwqQuantizer and GptqHfQuantizer, validate_environment.
    Trouble(
        packages={"autoawq": ""},
        detail="it is no longer maintained; transformers runs AWQ checkpoints with gptqmodel",
        cure="pip uninstall autoawq && pip install gptqmodel",
    ),
    Trouble(
        packages={"auto-gptq": ""},
        detail="it is no longer maintained; transformers runs GPTQ checkpoints with gptqmodel",
        cure="pip uninstall auto-gptq && pip install gptqmodel optimum",
    ),
    Trouble(
        packages={"gptqmodel": ""},
        unless={"optimum": ">=1.24"},
        detail="transformers refuses GPTQ checkpoints without optimum 1.24 or newer",
        cure='pip install --upgrade "optimum>=1.24"',
    ),
    Trouble(
        packages={"gptqmodel": "<1.4.3"},
        detail="transformers refuses GPTQ checkpoints with a version as old as this",
        cure='pip install --upgrade "gptqmodel>=1.4.3"',
    ),
    # transformers.utils.import_utils, BITSANDBYTES_MIN_VERSION and its neighbours.
    Trouble(
        packages={"bitsandbytes": "<0.49.0"},
        detail="transformers refuses to quantise with a version as old as this",
        cure='pip install --upgrade "bitsandbytes>=0.49.0"',
    ),
    Trouble(
        packages={"compressed-tensors": "<0.15"},
        detail="transformers refuses compressed checkpoints with a version as old as this",
        cure='pip install --upgrade "compressed-tensors>=0.15"',
    ),
    Trouble(
        packages={"peft": "<0.21"},
        detail="transformers refuses adapters with a version as old as this",
        cure='pip install --upgrade "peft>=0.21"',
    ),
    Trouble(
        packages={"flash-attn": "<2.3.3"},
        detail="transformers passes over a version as old as this",
        cure='pip install --upgrade --no-build-isolation "flash-attn>=2.3.3"',
    ),
)


def known_troubles(
    surroundings: Surroundings, troubles: tuple[Trouble, ...] = TROUBLES
) -> Iterator[Finding]:
    """The troubles of this environment."""
    for trouble in troubles:
        if trouble.concerns(surroundings):
            names = " and ".join(trouble.packages)
            versions = " and ".join(str(surroundings.versions(name)) for name in trouble.packages)
            yield Finding(names, trouble.status, f"{versions}: {trouble.detail}", trouble.cure)


def _is_installed(surroundings: Surroundings, name: str, specifier: str) -> bool:
    version = surroundings.versions(name)
    return version is not None and accepts(SpecifierSet(specifier), version)
