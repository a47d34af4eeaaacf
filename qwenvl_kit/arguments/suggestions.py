"""The error message of a call with wrong arguments, with a suggested line to write instead."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from qwenvl_kit.arguments.foreign_names import CURES, NOT_OF_VLLM, OF_VLLM, SECRETS, Cure
from qwenvl_kit.errors import ArgumentError

_MAX_SHOWN = 60
_LEAST_TOLD = 3
"""The shortest name, in characters, for which a similar name is suggested."""

_NARROWING = ("temperature", "top_p", "top_k", "min_p")
_MAKERS = {"sampling": "Sampling", "budget": "PixelBudget"}
_ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True)
class Call:
    """A call with wrong arguments.

    Attributes:
        function: the function.
        args: its positional arguments.
        kwargs: its keyword arguments.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The function as one writes it, such as `chat.ask`; never a base class."""
        own = self.function.__name__
        if not self.is_method:
            return own
        owner = self.args[0]
        if own == "__init__":
            return type(owner).__name__
        if isinstance(owner, type):
            return f"{owner.__name__}.{own}"
        instance = type(owner).__name__
        return f"{'chat' if instance.endswith('Chat') else instance.lower()}.{own}"

    @property
    def is_method(self) -> bool:
        """True if the first argument is the object or class of a method."""
        first = next(iter(inspect.signature(self.function).parameters), "")
        return first in ("self", "cls") and bool(self.args)

    @property
    def accepted(self) -> tuple[str, ...]:
        """The names of the arguments that the function accepts by name."""
        names = tuple(
            name
            for name, parameter in inspect.signature(self.function).parameters.items()
            if name not in ("self", "cls", "_")
            and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        )
        return (*names, *OF_VLLM) if self.is_of_vllm else names

    @property
    def is_of_vllm(self) -> bool:
        """True if the function passes arguments of any name on to vLLM."""
        return self.function.__name__ == "from_vllm"

    @property
    def takes_media(self) -> bool:
        """True if pictures follow the first argument, or are parts of a message."""
        return not {"media", "parts"}.isdisjoint(inspect.signature(self.function).parameters)

    @property
    def unknown(self) -> list[str]:
        """The names of the arguments that the function does not accept."""
        foreign = NOT_OF_VLLM if self.is_of_vllm else {*self.kwargs} - {*self.accepted}
        return [name for name in self.kwargs if name in foreign]


def argument_error(call: Call) -> ArgumentError:
    """Return the error of a call, with the line to write instead."""
    if not call.unknown:
        return _misfit(call)
    line = _Line(call)
    for name in call.unknown:
        line.replace(name, call.kwargs[name])
    names = ", ".join(name[:_MAX_SHOWN] for name in call.unknown)
    plural = "s" if len(call.unknown) > 1 else ""
    return ArgumentError(
        f"{call.name}() takes no argument{plural} {names}",
        expected="; ".join(dict.fromkeys(filter(None, line.notes))),
        hint=line.text(),
    )


def _misfit(call: Call) -> ArgumentError:
    """The error of a call with known arguments that are too few, too many, or given twice."""
    try:
        inspect.signature(call.function).bind(*call.args, **call.kwargs)
        problem = "its arguments do not fit"
    except TypeError as error:
        problem = str(error)
    return ArgumentError(f"{call.name}(): {problem}", expected=", ".join(call.accepted))


class _Line:
    """The suggested line, built argument by argument.

    Args:
        call: the call with wrong arguments.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._media: list[str] = []
        self._made: dict[str, dict[str, str]] = {}
        self._is_greedy = False
        self._named = {
            name: _shown(value, name)
            for name, value in call.kwargs.items()
            if name not in call.unknown
        }
        self.notes: list[str] = []

    def replace(self, given: str, value: Any) -> None:
        """Write the counterpart of an argument that the call does not accept."""
        name = _meant(given, self._call)
        if name in self._call.accepted:
            self._named[name] = _shown(value, name)
            self.notes.append(f"{name} for {given}")
            return
        cure = CURES.get(name)
        if cure is None:
            self.notes.append(self._known())
            return
        target = self._target(cure)
        elsewhere = next((t for t in cure.targets if t.startswith("sampling.")), "")
        if elsewhere and not target:
            written = f"{elsewhere.removeprefix('sampling.')}={_shown(value, name)}"
            self.notes.append(f"it with a question: chat.ask(..., sampling=Sampling({written}))")
            return
        self.notes.append(cure.note or (f"{target} for {given}" if target else self._known()))
        if target:
            for written in _converted(name, value, self._call):
                self._write(target, name, written)

    def text(self) -> str:
        """Return the suggested line."""
        places = self._call.args[self._call.is_method :]
        named = {**self._named, **{root: self._maker(root) for root in self._made}}
        if self._is_greedy and "sampling" not in self._call.accepted:
            named = {name: named[name] for name in named if name not in _NARROWING}
        first = named.pop("prompt", None)
        has_first = places or first or (self._media and self._call.function.__name__ not in _ROLES)
        parts = ["..."] * bool(has_first)
        parts += self._media
        parts += [f"{name}={value}" for name, value in named.items()]
        return f"{self._call.name}({', '.join(parts)})"

    def _known(self) -> str:
        return ", ".join(self._call.accepted) or "arguments by their place"

    def _target(self, cure: Cure) -> str:
        """The argument of this call that is the counterpart of a foreign one; empty for none."""
        known = self._call.accepted
        for target in cure.targets:
            if target[0] == "*" and self._call.takes_media and "parts" not in known:
                return target
            is_hub = target == "source" and "model" in known
            if target.partition(".")[0] in known and not is_hub:
                return target
        return ""

    def _write(self, target: str, name: str, value: Any) -> None:
        root, _, field = target.partition(".")
        if name == "do_sample":
            self._sample(root, is_on=bool(value))
        elif target == "*text":
            self._media.append(_shown(value, name))
        elif target.startswith("*"):
            is_part = self._call.function.__name__ in _ROLES
            self._media += _parts(target[1:], value, is_part=is_part)
        elif field:
            self._made.setdefault(root, {})[field] = _shown(value, name)
        elif root == "parts" and not isinstance(value, (list, tuple)):
            self._named[root] = _shown([value], name)
        elif root:
            self._named[root] = _shown(value, name)

    def _sample(self, root: str, *, is_on: bool) -> None:
        """Write the counterpart of do_sample: sampling needs a temperature, greedy has none."""
        self._is_greedy = not is_on
        fields = self._made.setdefault(root, {}) if root in _MAKERS else self._named
        if is_on and "temperature" not in (*fields, *self._call.kwargs):
            fields["temperature"] = "1.0"

    def _maker(self, root: str) -> str:
        """The text `Sampling(...)` or `PixelBudget(...)` with the fields collected for it."""
        fields = self._made[root]
        if root == "sampling" and self._is_greedy:
            fields = {name: fields[name] for name in fields if name not in _NARROWING}
        if root == "sampling" and "temperature" not in fields and {*fields} & {*_NARROWING}:
            fields = {"temperature": "1.0", **fields}
        written = ", ".join(f"{name}={value}" for name, value in fields.items())
        if root == "sampling" and root in self._named:
            return f"dataclasses.replace(sampling, {written})"
        return f"{_MAKERS[root]}({written})"


def _meant(name: str, call: Call) -> str:
    """The name that was likely meant: itself if it is known, else a similar one."""
    if name in CURES:
        return name
    if len(name) < _LEAST_TOLD:
        return name
    begun = [known for known in call.accepted if known.startswith(name) or name.startswith(known)]
    if begun:
        return begun[0]
    for known in (call.accepted, CURES):
        if found := get_close_matches(name[:_MAX_SHOWN], known, n=1, cutoff=0.8):
            return found[0]
    return name


def _converted(name: str, value: Any, call: Call) -> Iterator[Any]:
    """Convert a value of another library; yield nothing if it only repeats the default."""
    if name in ("load_in_4bit", "load_in_8bit"):
        if value:
            yield "bitsandbytes" if call.is_of_vllm else name.removeprefix("load_in_")
    elif name == "skip_special_tokens":
        yield from [True] * (value is False)
    elif name == "page":
        yield [value] if isinstance(value, int) else value
    elif name == "quantization_config":
        yield from _quantization(value)
    elif name == "use_flash_attention_2":
        yield from ["flash_attention_2"] * bool(value)
    elif name == "device_map":
        yield _device(value)
    elif name in ("num_return_sequences", "n", "best_of"):
        yield from [value - 1] * (isinstance(value, int) and value > 1)
    elif name == "do_sample" or value is not None:
        yield value


def _quantization(config: Any) -> Iterator[str]:
    for bits in ("4bit", "8bit"):
        name = f"load_in_{bits}"
        if config.get(name) if isinstance(config, Mapping) else getattr(config, name, False):
            yield bits


def _device(value: Any) -> Any:
    """The device of a device map; "auto" if it names several, so that the kit chooses."""
    if isinstance(value, Mapping):
        places = {*map(str, value.values())}
        value = next(iter(places)) if len(places) == 1 else "auto"
    if value in ("balanced", "balanced_low_0", "sequential"):
        return "auto"
    is_index = isinstance(value, int) or (isinstance(value, str) and value.isdigit())
    return f"cuda:{value}" if is_index else value


def _parts(part: str, value: Any, *, is_part: bool) -> list[str]:
    """Pictures or videos as one writes them after a question, or in a message."""
    items = value if isinstance(value, (list, tuple)) else [value]
    shown = [_shown(item, "source") for item in items]
    return [f"{part}({item})" if is_part or part == "VideoPart" else item for item in shown]


def _shown(value: Any, name: str) -> str:
    """A value as one writes it; "..." if it is long, not a literal, or secret."""
    text = repr(value)
    if re.fullmatch(r"torch\.\w+", text):
        return text
    is_plain = value is None or isinstance(value, (bool, int, float, str))
    if isinstance(value, (list, tuple)):
        is_plain = all(isinstance(item, (bool, int, float, str)) for item in value)
    return text if is_plain and len(text) <= _MAX_SHOWN and name not in SECRETS else "..."
