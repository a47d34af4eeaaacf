"""A stand-in for the parts of lmms-eval 0.7 that its models see, by the signatures of its files.

Sources: lmms_eval/api/model.py (`lmms`), api/instance.py (`Instance`, `GenerationResult`,
`TokenCounts`), models/registry_v2.py (`ModelManifest`), api/task.py (`construct_requests`).
"""

from __future__ import annotations

import abc
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

MODULE = "qwenvl_kit.integrations.lmms_eval"
IS_INSTALLED = importlib.util.find_spec("lmms_eval") is not None


class lmms(abc.ABC):  # noqa: N801  # its name there
    is_simple: bool = True

    def __init__(self) -> None:
        self._rank = 0
        self._world_size = 1
        self.cache_hook = None
        self.task_dict: dict[str, Any] = {}
        self.is_cleaned = False

    @abc.abstractmethod
    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]: ...

    @abc.abstractmethod
    def generate_until(self, requests: Any) -> list[str]: ...

    @abc.abstractmethod
    def generate_until_multi_round(self, requests: Any) -> list[str]: ...

    @classmethod
    def create_from_arg_string(cls, arg_string: str, additional_config: Any = None) -> Any:
        given = dict(each.split("=", 1) for each in arg_string.split(",") if each)
        more = {key: value for key, value in (additional_config or {}).items() if value is not None}
        return cls(**given, **more)

    @property
    def rank(self) -> int:
        return self._rank

    @property
    def world_size(self) -> int:
        return self._world_size

    def clean(self) -> None:
        self.is_cleaned = True


@dataclass
class TokenCounts:
    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass
class GenerationResult:
    text: str
    token_counts: TokenCounts | None = None


def unwrap_generation_output(output: Any) -> tuple[Any, TokenCounts | None]:
    """What the evaluator does with each output: of a pair of numbers it makes a text."""
    if isinstance(output, GenerationResult):
        return output.text, output.token_counts
    is_texts = isinstance(output, list) and all(isinstance(each, str) for each in output)
    return (output if isinstance(output, str) or is_texts else str(output)), None


@dataclass
class Instance:
    request_type: str
    arguments: tuple[Any, ...]
    idx: int
    metadata: dict[str, Any] = field(default_factory=dict)
    resps: list[Any] = field(default_factory=list)

    @property
    def args(self) -> tuple[Any, ...]:
        return self.arguments if isinstance(self.arguments, tuple) else (self.arguments,)


@dataclass(frozen=True)
class ModelManifest:
    model_id: str
    simple_class_path: str | None = None
    chat_class_path: str | None = None
    aliases: tuple[str, ...] = ()


@contextmanager
def standing_in() -> Iterator[ModuleType]:
    """The kit's module on the stand-in; the one that is imported otherwise comes back later."""
    names = ("lmms_eval", "lmms_eval.api", "lmms_eval.models")
    modules = {name: ModuleType(name) for name in names}
    leaves: dict[str, dict[str, Any]] = {
        "lmms_eval.api.model": {"lmms": lmms},
        "lmms_eval.api.instance": {
            "Instance": Instance,
            "GenerationResult": GenerationResult,
            "TokenCounts": TokenCounts,
            "unwrap_generation_output": unwrap_generation_output,
        },
        "lmms_eval.models.registry_v2": {"ModelManifest": ModelManifest},
    }
    for name, content in leaves.items():
        modules[name] = ModuleType(name)
        vars(modules[name]).update(content)
    with replaced({**modules, MODULE: None}):
        yield importlib.import_module(MODULE)


@contextmanager
def replaced(modules: dict[str, ModuleType | None]) -> Iterator[None]:
    """Other modules under these names; None for one that is to be imported anew."""
    before = {name: sys.modules.pop(name, None) for name in modules}
    sys.modules.update({name: module for name, module in modules.items() if module is not None})
    try:
        yield
    finally:
        for name, module in before.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module
