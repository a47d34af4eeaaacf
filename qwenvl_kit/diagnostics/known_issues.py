"""Known issues of package versions, as data: problems that the packages' metadata do not tell.

An issue is added with its source, and removed once the kit requires newer versions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from packaging.specifiers import SpecifierSet

from qwenvl_kit.diagnostics.environment import Environment
from qwenvl_kit.diagnostics.findings import Finding, Status
from qwenvl_kit.diagnostics.requirements import accepts


@dataclass(frozen=True, kw_only=True)
class KnownIssue:
    """A known issue of one package, or of several together.

    Attributes:
        packages: affected versions by package; the issue is present if all of these packages are
            installed in an affected version.
        unless: packages and versions that prevent the issue; one of them is enough.
        detail: description of the issue.
        cure: a command that cures it.
        status: "note" or "problem".
    """

    packages: Mapping[str, str]
    detail: str
    cure: str
    unless: Mapping[str, str] = field(default_factory=dict)
    status: Status = "note"

    def concerns(self, environment: Environment) -> bool:
        """True if this environment has the issue."""
        concerned = [_is_installed(environment, *item) for item in self.packages.items()]
        spared = [_is_installed(environment, *item) for item in self.unless.items()]
        return all(concerned) and not any(spared)


KNOWN_ISSUES: tuple[KnownIssue, ...] = (
    # GHSA-8g5g-8vmr-9782.
    KnownIssue(
        packages={"pillow": "<13"},
        detail="a crafted JPEG overflows the memory of its decoder (CVE-2026-112403, critical)",
        cure='pip install --upgrade "pillow>=13"',
    ),
    # pytorch/pytorch#166122 and #174051; the vision encoders begin with a Conv3d.
    KnownIssue(
        packages={"torch": "==2.9.*"},
        detail="on a GPU its Conv3d takes 10 to 20 times as long, and pictures wait for it",
        cure='pip install --upgrade "torch>=2.10" torchvision',
    ),
    # qwen_vl_utils.vision_process: torchcodec, decord, else torchvision.io.read_video, which
    # torchvision 0.24 no longer has.
    KnownIssue(
        packages={"torchvision": ">=0.24", "qwen-vl-utils": ""},
        unless={"torchcodec": "", "decord": ""},
        detail="qwen-vl-utils' own process_vision_info has nothing to read video files with; the "
        "kit does not call it",
        cure="pip install torchcodec, if you call it yourself",
    ),
    KnownIssue(
        packages={"decord": ""},
        detail="it is no longer maintained and may hang while it seeks; the kit does not use it",
        cure="pip uninstall decord && pip install av",
    ),
    # transformers' AwqQuantizer and GptqHfQuantizer, validate_environment.
    KnownIssue(
        packages={"autoawq": ""},
        detail="it is no longer maintained; transformers runs AWQ checkpoints with gptqmodel",
        cure="pip uninstall autoawq && pip install gptqmodel",
    ),
    KnownIssue(
        packages={"auto-gptq": ""},
        detail="it is no longer maintained; transformers runs GPTQ checkpoints with gptqmodel",
        cure="pip uninstall auto-gptq && pip install gptqmodel optimum",
    ),
    KnownIssue(
        packages={"gptqmodel": ""},
        unless={"optimum": ">=1.24"},
        detail="transformers refuses GPTQ checkpoints without optimum 1.24 or newer",
        cure='pip install --upgrade "optimum>=1.24"',
    ),
    KnownIssue(
        packages={"gptqmodel": "<1.4.3"},
        detail="transformers refuses GPTQ checkpoints with a version as old as this",
        cure='pip install --upgrade "gptqmodel>=1.4.3"',
    ),
    # transformers.utils.import_utils, BITSANDBYTES_MIN_VERSION and its neighbours.
    KnownIssue(
        packages={"bitsandbytes": "<0.49.0"},
        detail="transformers refuses to quantise with a version as old as this",
        cure='pip install --upgrade "bitsandbytes>=0.49.0"',
    ),
    KnownIssue(
        packages={"compressed-tensors": "<0.15"},
        detail="transformers refuses compressed checkpoints with a version as old as this",
        cure='pip install --upgrade "compressed-tensors>=0.15"',
    ),
    KnownIssue(
        packages={"peft": "<0.21"},
        detail="transformers refuses adapters with a version as old as this",
        cure='pip install --upgrade "peft>=0.21"',
    ),
    KnownIssue(
        packages={"flash-attn": "<2.3.3"},
        detail="transformers passes over a version as old as this",
        cure='pip install --upgrade --no-build-isolation "flash-attn>=2.3.3"',
    ),
)


def known_issues(
    environment: Environment, issues: tuple[KnownIssue, ...] = KNOWN_ISSUES
) -> Iterator[Finding]:
    """The issues of this environment."""
    for issue in issues:
        if issue.concerns(environment):
            names = " and ".join(issue.packages)
            versions = " and ".join(str(environment.versions(name)) for name in issue.packages)
            yield Finding(names, issue.status, f"{versions}: {issue.detail}", issue.cure)


def _is_installed(environment: Environment, name: str, specifier: str) -> bool:
    version = environment.versions(name)
    return version is not None and accepts(SpecifierSet(specifier), version)
