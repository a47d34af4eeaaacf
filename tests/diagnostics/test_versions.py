"""Versions: what packages say of themselves, and what is known beside."""

from __future__ import annotations

import pytest
from packaging.specifiers import SpecifierSet

from qwenvl_kit.diagnostics.known_issues import KNOWN_ISSUES, KnownIssue
from qwenvl_kit.diagnostics.requirements import KIT, accepts
from tests.diagnostics.pretending import finding, findings, names, pretend

VLLM = {"vllm": ("transformers<5.20,>=5.16.1", "torch==2.12.0+cpu", "ray>=2.9")}


def test_a_package_below_the_kits_own_bound_is_a_problem_with_the_command() -> None:
    found = finding(pretend(versions={"torchvision": "0.20.0"}), "torchvision")
    assert found.status == "problem"
    assert found.detail == "0.20.0 is installed; >=0.21 is needed"
    assert found.cure == 'pip install --upgrade "torchvision>=0.21"'


def test_a_package_that_is_not_there_is_a_problem_with_the_command() -> None:
    found = finding(pretend(versions={"huggingface-hub": None}), "huggingface-hub")
    assert found.status == "problem"
    assert found.cure == 'pip install --upgrade "huggingface-hub>=1.31"'


def test_bounds_are_those_of_the_kits_metadata() -> None:
    needed = {KIT: ("transformers>=99", "torch")}
    found = finding(pretend(requirements=needed), "transformers")
    assert found.status == "problem"
    assert found.detail == "5.19.0 is installed; >=99 is needed"


def test_a_kit_without_metadata_is_a_note() -> None:
    found = finding(pretend(requirements={KIT: ()}), KIT)
    assert found.status == "note"


def test_an_old_transformers_is_told_by_the_error_that_it_gives() -> None:
    found = finding(pretend(versions={"transformers": "4.44.2"}), "model families")
    assert found.status == "problem"
    assert "KeyError: 'qwen2_vl'" in found.detail
    assert found.cure == "pip install --upgrade transformers"


def test_an_old_transformers_lacks_only_the_newer_families() -> None:
    found = finding(pretend(versions={"transformers": "4.57.1"}), "model families")
    assert "KeyError: 'qwen3_5'" in found.detail
    assert "qwen3_vl" not in found.detail


def test_a_torch_that_torchvision_was_not_built_for_is_a_problem() -> None:
    found = finding(pretend(versions={"torch": "2.13.0"}), "torchvision and torch")
    assert found.status == "problem"
    assert "wants torch==2.12.0; 2.13.0 is installed" in found.detail
    assert found.cure == "pip install --upgrade torch torchvision"


def test_a_build_with_a_local_version_is_the_version() -> None:
    assert findings(pretend(versions={"torch": "2.12.0+cu130"}), "torchvision and torch") == []


def test_a_hub_client_that_transformers_refuses_is_a_problem() -> None:
    found = finding(
        pretend(versions={"huggingface-hub": "3.1.0"}), "transformers and huggingface-hub"
    )
    assert found.status == "problem"
    assert found.cure == 'pip install --upgrade "transformers>=5.18" "huggingface-hub>=1.31"'


def test_a_transformers_outside_the_pin_of_vllm_is_a_problem() -> None:
    versions = {"vllm": "0.32.0", "transformers": "5.23.0"}
    found = finding(pretend(versions=versions, requirements=VLLM), "vllm and transformers")
    assert found.status == "problem"
    assert "<5.20" in found.detail
    assert found.cure == 'pip install --upgrade "vllm" "transformers>=5.18"'


def test_vllm_and_the_kit_share_an_environment_within_its_pin() -> None:
    found = findings(pretend(versions={"vllm": "0.32.0"}, requirements=VLLM))
    assert "vllm and transformers" not in names(found)
    assert "vllm and torch" not in names(found)  # pinned to +cpu, which names a build
    assert "vllm and ray" not in names(found)  # what an optional package lacks is its own matter


def test_a_library_of_torch_that_was_replaced_is_a_note() -> None:
    environment = pretend(
        versions={"nvidia-cudnn-cu13": "9.15.0"},
        requirements={"torch": ("nvidia-cudnn-cu13==9.13.0",)},
    )
    assert finding(environment, "torch and nvidia-cudnn-cu13").status == "note"


def test_requirements_of_other_systems_and_pythons_are_passed_over() -> None:
    needed = {"torch": ('pywin32>=300; sys_platform == "nowhere"', "not a requirement ==")}
    assert findings(pretend(requirements=needed)) == findings(pretend())


def test_an_optional_package_in_a_version_that_transformers_does_not_take_is_a_note() -> None:
    found = finding(pretend(versions={"kernels": "0.20.0"}), "transformers and kernels")
    assert found.status == "note"
    assert "<0.19" in found.detail


def test_an_optional_package_below_the_bound_of_the_kits_extra_is_a_note() -> None:
    found = finding(pretend(versions={"vllm": "0.9.0"}), "qwenvl-kit and vllm")
    assert found.status == "note"
    assert found.cure == 'pip install --upgrade "vllm>=0.30"'


def test_optional_packages_are_listed_with_their_versions() -> None:
    found = finding(pretend(versions={"peft": "0.21.2"}), "optional packages")
    assert found.detail == "peft 0.21.2"


@pytest.mark.parametrize("version", ["2.13.0.dev20260101+cu130", "2.6.0a0+ecf3bae40a.nv25.01"])
def test_builds_of_the_night_count_as_versions(version: str) -> None:
    assert accepts(SpecifierSet(">=2.5"), version)


def test_a_version_of_no_known_form_is_not_a_problem() -> None:
    assert accepts(SpecifierSet(">=2.5"), "main-abcdef")


@pytest.mark.parametrize("issue", KNOWN_ISSUES, ids=lambda issue: " ".join(issue.packages))
def test_each_known_issue_is_found_where_it_is(issue: KnownIssue) -> None:
    ill = {name: version_in(specifier) for name, specifier in issue.packages.items()}
    versions = {**ill, **dict.fromkeys(issue.unless)}
    environment = pretend(versions=versions)
    assert issue.concerns(environment)
    assert any(each.cure == issue.cure for each in findings(environment))


@pytest.mark.parametrize("issue", KNOWN_ISSUES, ids=lambda issue: " ".join(issue.packages))
def test_no_known_issue_is_found_where_a_package_is_not(issue: KnownIssue) -> None:
    assert not issue.concerns(pretend(versions=dict.fromkeys(issue.packages)))


def test_a_package_that_helps_keeps_an_issue_away() -> None:
    ill = {"torchvision": "0.27.0", "qwen-vl-utils": "0.0.14"}
    name = "torchvision and qwen-vl-utils"
    assert finding(pretend(versions=ill), name).status == "note"
    assert findings(pretend(versions={**ill, "torchcodec": "0.17.0"}), name) == []


def test_a_pillow_that_can_be_overflowed_is_a_note_and_the_next_is_not() -> None:
    notes = findings(pretend(versions={"pillow": "12.3.0"}), "pillow")
    assert [each.status for each in notes] == ["ok", "note"]
    assert [each.status for each in findings(pretend(), "pillow")] == ["ok"]


def version_in(specifier: str) -> str:
    """A version that a specifier admits."""
    candidates = ["0.0.1", "2.9.1", "99.0"]
    return next(each for each in candidates if each in SpecifierSet(specifier))
