"""What a diagnosis says, and that nothing stops the examination."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from dataclasses import replace

import pytest

from qwenvl_kit.diagnostics.environment import Environment
from qwenvl_kit.diagnostics.findings import Diagnosis, Finding
from qwenvl_kit.diagnostics.runner import CHECKS, run_checks
from tests.diagnostics.pretending import finding, findings, names, pretend

WELL = Finding("torch", "ok", "2.12.0")
ODD = Finding("a longer name", "note", "two\nlines", "a command")
BAD = Finding("GPU", "problem", "none", "another command")


def test_a_sound_machine_is_healthy_and_has_nothing_to_cure() -> None:
    diagnosis = run_checks(pretend())
    assert diagnosis.is_healthy
    assert {each.name for each in diagnosis.findings if each.status != "ok"} == set()


def test_a_problem_makes_it_unhealthy_and_a_note_does_not() -> None:
    assert Diagnosis((WELL, ODD)).is_healthy
    assert not Diagnosis((WELL, BAD)).is_healthy
    assert Diagnosis((WELL, ODD, BAD)).problems == (BAD,)
    assert Diagnosis((WELL, ODD, BAD)).notes == (ODD,)


def test_it_prints_as_aligned_lines_with_each_cure_on_its_own() -> None:
    assert str(Diagnosis((WELL, ODD, BAD))).splitlines() == [
        "ok      torch          2.12.0",
        "note    a longer name  two lines",
        "                       cure: a command",
        "PROBLEM GPU            none",
        "                       cure: another command",
        "",
        "Not healthy: 1 problem, 1 note.",
    ]


def test_a_diagnosis_of_nothing_prints() -> None:
    assert str(Diagnosis(())) == "\nHealthy: 0 problems, 0 notes."


def test_a_check_that_raises_becomes_a_finding_and_the_others_go_on() -> None:
    def breaks(environment: Environment) -> Iterator[Finding]:
        yield WELL
        raise OSError("libfoo.so: cannot open\nand pages more")

    diagnosis = run_checks(pretend(), {"foo": breaks, "bar": lambda environment: [ODD]})
    assert diagnosis.findings[0] == WELL
    assert diagnosis.findings[1].name == "foo"
    assert diagnosis.findings[1].status == "problem"
    assert "OSError: libfoo.so: cannot open" in diagnosis.findings[1].detail
    assert "pages" not in diagnosis.findings[1].detail
    assert diagnosis.findings[2] == ODD


LOOKS = ["versions", "requirements", "files", "load", "machine", "nvidia_driver", "hub"]


@pytest.mark.parametrize("look", [*LOOKS, "free_bytes_at", "is_writable", "which"])
def test_whatever_cannot_be_looked_at_is_told_and_not_raised(look: str) -> None:
    def raising(*_: object) -> object:
        raise RuntimeError("no such luck")

    found = findings(replace(pretend(), **{look: raising}))  # type: ignore[arg-type]
    assert "CPU" in names(found)


def test_all_that_is_not_well_has_a_cure() -> None:
    broken = RuntimeError("broken")
    for environment in (
        pretend(),
        pretend(torch=broken, versions=dict.fromkeys(["torch", "av", "transformers"])),
        pretend(is_writable=lambda folder: False, environ={"HF_HUB_OFFLINE": "1"}),
    ):
        for each in findings(environment):
            assert bool(each.cure) == (each.status != "ok"), each


def test_a_torch_that_cannot_be_imported_is_one_problem_and_is_tried_once() -> None:
    tries = []

    def torch() -> object:
        tries.append(1)
        raise OSError("libcudart.so.13: cannot open shared object file")

    found = findings(replace(pretend(), torch=torch))  # type: ignore[arg-type]
    assert len(tries) == 1
    problems = [each for each in found if each.status == "problem"]
    assert names(problems) == {"torch build"}
    assert "libcudart.so.13" in problems[0].detail
    assert "torch" in problems[0].cure
    assert "hub cache" in names(found)


@pytest.mark.parametrize("name", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "MY_API_KEY"])
def test_no_secret_is_shown_even_when_a_library_tells_it(name: str) -> None:
    secret = "hf_abcdefghijklmnop"

    def telling(environment: Environment) -> Iterator[Finding]:
        raise RuntimeError(f"401 for Bearer {secret}")
        yield

    checks = {**CHECKS, "telling": telling}
    text = str(run_checks(pretend(environ={name: secret}), checks))
    assert secret not in text
    assert "401 for Bearer ***" in text


def test_what_libraries_log_and_warn_of_is_not_printed(
    capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    def noisy(environment: Environment) -> list[Finding]:
        logging.getLogger("noisy").error("look at me")
        warnings.warn("and at me", stacklevel=1)
        return []

    run_checks(pretend(), {"noisy": noisy})
    assert capsys.readouterr().err == ""
    assert not recwarn.list
    assert logging.root.manager.disable == logging.NOTSET


def test_a_token_is_reported_and_not_shown() -> None:
    found = finding(pretend(environ={"HF_TOKEN": "hf_abcdefghijklmnop"}), "access token")
    assert found.status == "ok"
    assert "HF_TOKEN" in found.detail
    assert "abcdef" not in found.detail
