"""The runner of the checks: none can stop the others, print to the screen or show a secret."""

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
from qwenvl_kit.diagnostics.environment import Environment, NoTorchError, reason_of
from qwenvl_kit.diagnostics.findings import Diagnosis, Finding
from qwenvl_kit.diagnostics.torch_info import TorchInfo

Check: TypeAlias = Callable[[Environment], Iterable[Finding]]

CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "Python": software.python,
        "requirements": requirements.kit_requirements,
        "optional packages": requirements.optional_packages,
        "model families": requirements.model_families,
        "packages together": requirements.agreements,
        "optional versions": requirements.limits_of_extras,
        "known issues": known_issues.known_issues,
        "torch build": software.torch_build,
        "torchvision build": software.torchvision_build,
        "transformers import": software.transformers_import,
        "compiled modules": software.compiled_modules,
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
"""All checks in the order in which they are shown. The key names a check that fails."""

_SECRETS = ("TOKEN", "KEY", "SECRET", "PASSWORD")


def run_checks(
    environment: Environment | None = None, checks: Mapping[str, Check] = CHECKS
) -> Diagnosis:
    """Run checks and return their findings.

    Args:
        environment: the environment to check; None for this machine.
        checks: the checks to run, by name.
    """
    given = environment or Environment()
    looking = replace(given, torch=_once(given.torch))
    findings: list[Finding] = []
    with _quiet():
        for name, check in checks.items():
            findings.extend(_run(name, check, looking))
    secrets = _secrets(given.environ)
    return Diagnosis(tuple(_redact(finding, secrets) for finding in findings))


def _run(name: str, check: Check, environment: Environment) -> Iterator[Finding]:
    """The findings of a check; if it fails, the findings until then and its error."""
    try:
        yield from check(environment)
    except NoTorchError:
        return  # the check of torch's build reports it
    except Exception as error:
        detail = f"the check failed with {reason_of(error)}"
        cure = "pip check, which names packages that do not fit together"
        yield Finding(name, "problem", detail, cure)


def _once(read: Callable[[], TorchInfo]) -> Callable[[], TorchInfo]:
    """Read once: an import that failed fails again with another, misleading error."""

    @cache
    def outcome() -> TorchInfo | Exception:
        try:
            return read()
        except Exception as error:
            return error

    def facts() -> TorchInfo:
        result = outcome()
        if isinstance(result, Exception):
            raise NoTorchError(reason_of(result)) from result
        return result

    return facts


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the logs and warnings of libraries while they are imported."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _secrets(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The values of variables that no message may show, wherever it got them from."""
    named = (value for name, value in environ.items() if name.upper().endswith(_SECRETS))
    return tuple(sorted((value for value in named if len(value) >= 6), key=len, reverse=True))


def _redact(finding: Finding, secrets: tuple[str, ...]) -> Finding:
    detail, cure = finding.detail, finding.cure
    for secret in secrets:
        detail, cure = detail.replace(secret, "***"), cure.replace(secret, "***")
    return replace(finding, detail=detail, cure=cure)
