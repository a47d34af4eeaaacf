"""Runs the checks, so that none can stop the others, make a noise or tell a secret."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import TypeAlias

from qwenvl_kit.diagnostics import (
    decoders,
    devices,
    hub,
    kernels,
    known_issues,
    requirements,
    software,
)
from qwenvl_kit.diagnostics.environment import NoTorchError, Surroundings, reason_of
from qwenvl_kit.diagnostics.findings import Diagnosis, Finding
from qwenvl_kit.diagnostics.torch_info import TorchFacts

Check: TypeAlias = Callable[[Surroundings], Iterable[Finding]]

CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "Python": software.python,
        "requirements": requirements.kit_requirements,
        "optional packages": requirements.optional_packages,
        "model families": requirements.model_families,
        "packages together": requirements.agreements,
        "optional versions": requirements.limits_of_extras,
        "known troubles": known_issues.known_troubles,
        "torch build": software.torch_build,
        "torchvision build": software.torchvision_build,
        "transformers import": software.transformers_import,
        "GPU": devices.accelerators,
        "CPU": devices.processor,
        "memory": devices.memory,
        "attention": kernels.attention,
        "linear attention": kernels.linear_attention,
        "C compiler": kernels.compiler,
        "bitsandbytes": kernels.bitsandbytes,
        "pictures": decoders.pictures,
        "videos": decoders.videos,
        "torchcodec": decoders.torchcodec,
        "hub cache": hub.cache_folder,
        "offline": hub.offline,
        "access token": hub.access_token,
        "hub endpoint": hub.endpoint,
        "variables": hub.stale_variables,
        "GPU allocator": hub.allocator,
    }
)
"""All checks in the order in which they are shown, by the name that one has if it fails."""

_SECRETS = ("TOKEN", "KEY", "SECRET", "PASSWORD")


def examine(
    surroundings: Surroundings | None = None, checks: Mapping[str, Check] = CHECKS
) -> Diagnosis:
    """Run checks.

    Args:
        surroundings: what they may look at; None for this machine.
        checks: which.
    """
    given = surroundings or Surroundings()
    looking = replace(given, torch=_once(given.torch))
    findings: list[Finding] = []
    with _quiet():
        for name, check in checks.items():
            findings.extend(_run(name, check, looking))
    secrets = _secrets(given.environ)
    return Diagnosis(tuple(_redact(finding, secrets) for finding in findings))


def _run(name: str, check: Check, surroundings: Surroundings) -> Iterator[Finding]:
    """What a check finds; if it fails, what it found until then and how it failed."""
    try:
        yield from check(surroundings)
    except NoTorchError:
        return  # the check of torch's build has said so
    except Exception as error:
        detail = f"looking failed with {reason_of(error)}"
        cure = "pip check, which names packages that do not fit together"
        yield Finding(name, "problem", detail, cure)


def _once(read: Callable[[], TorchFacts]) -> Callable[[], TorchFacts]:
    """Ask once: an import that failed fails otherwise, and misleadingly, the second time."""

    @cache
    def outcome() -> TorchFacts | Exception:
        try:
            return read()
        except Exception as error:
            return error

    def facts() -> TorchFacts:
        result = outcome()
        if isinstance(result, Exception):
            raise NoTorchError(reason_of(result)) from result
        return result

    return facts


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what libraries log and warn of while they are imported."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _secrets(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Values of variables that no message may show, however it came to hold them."""
    named = (value for name, value in environ.items() if name.upper().endswith(_SECRETS))
    return tuple(sorted((value for value in named if len(value) >= 6), key=len, reverse=True))


def _redact(finding: Finding, secrets: tuple[str, ...]) -> Finding:
    detail, cure = finding.detail, finding.cure
    for secret in secrets:
        detail, cure = detail.replace(secret, "***"), cure.replace(secret, "***")
    return replace(finding, detail=detail, cure=cure)
