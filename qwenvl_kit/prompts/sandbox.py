"""The sandbox: Jinja's sandboxed environment with a meter, in which chat templates are rendered.

Each step that may take long is paid for here first: loops, calls, filters, tests, operators and
output. A step whose cost cannot be known is refused; no chat template needs one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import wraps
from types import BuiltinMethodType, MethodWrapperType
from typing import Any, cast

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.runtime import Context, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from qwenvl_kit.prompts.render_costs import (
    FILTER_COSTS,
    MAX_INDENT,
    METHOD_COSTS,
    cost_of_pattern,
)
from qwenvl_kit.prompts.render_meter import ITEM_CHARACTERS, SCALARS, meter

_MAX_BITS = 16_384
"""Most bits of a whole number: the time of arithmetic grows with the square of its length."""

_CHARGE, _PASSED, _PAID, _READ = " charge", " passed", " paid", " read"
"""Filters that only `_ChargeInserter` can call: no template can write a name that begins with a
blank."""

_SHALLOW_FILTERS = frozenset((
    "abs", "attr", "count", "d", "default", "first", "float", "items", "last", "length", "list",
    "map", "random", "reject", "rejectattr", "reverse", "safe", "select", "selectattr",
))  # fmt: skip
"""Filters that do not read the contents of their arguments."""

_EAGER_FILTERS = frozenset((
    "groupby", "join", "max", "min", "sort", "sum", "unique",
))  # fmt: skip
"""Filters that read an iterator to its end."""

_REFUSED_FILTERS = frozenset(("striptags", "urlize"))
"""Filters for web pages; their time grows with the square of the text."""

_DEEP_TESTS = frozenset((
    "in", "==", "eq", "equalto", "!=", "ne", ">", "gt", "greaterthan", "ge", ">=", "<", "lt",
    "lessthan", "<=", "le", "upper", "lower",
))  # fmt: skip
"""Tests that read the contents of their arguments."""

_METHODS = frozenset((
    "as_integer_ratio", "bit_count", "bit_length", "capitalize", "casefold", "center", "copy",
    "count", "endswith", "expandtabs", "find", "format", "format_map", "get", "index",
    "is_integer", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier",
    "islower", "isnumeric", "isprintable", "isspace", "istitle", "isupper", "items", "join",
    "keys", "ljust", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "replace",
    "rfind", "rindex", "rjust", "rpartition", "rsplit", "rstrip", "split", "splitlines",
    "startswith", "strip", "swapcase", "title", "upper", "values", "zfill",
))  # fmt: skip
"""Allowed methods of texts, numbers, lists and dicts: they change nothing and have a known cost."""


class MeteredEnvironment(ImmutableSandboxedEnvironment):
    """The environment of transformers' chat templates, in which each step is paid for.

    It renders the same text as that of transformers. Nothing is computed while a template is
    compiled, because no meter runs then.
    """

    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "**", "%"))

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,
            finalize=_written,
            extensions=[_Generation, loopcontrols],
        )
        self.concat = _concatenated  # type: ignore[method-assign]
        self.filters["tojson"] = _to_json
        self.filters = {name: _filter(name, each) for name, each in self.filters.items()}
        self.filters |= {_CHARGE: _charge, _PASSED: _passed, _PAID: _paid, _READ: _read}
        self.tests |= {name: _deep_test(cast(Any, self.tests[name])) for name in _DEEP_TESTS}
        del self.globals["lipsum"]
        self.globals.update(
            raise_exception=_raise, strftime_now=_now, dict=_Dict(), namespace=_Names
        )

    def compiled(self, source: str) -> jinja2.Template:
        """Compile a template that pays for its steps when it is rendered."""
        return self.from_string(_ChargeInserter().visit(self.parse(source)))

    def call(
        __self,  # noqa: N805  # a template may name any argument
        __context: Context,
        __called: Any,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Call a function, and pay for its arguments and its result."""
        if isinstance(__called, Macro):
            meter().spend(ITEM_CHARACTERS)
        else:
            _pay_for_call(__called, args, kwargs)
        return _pay(super().call(__context, __called, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute an operator, and pay for its result."""
        _pay_for_operator(operator, left, right)
        return _pay(super().call_binop(context, operator, left, right))

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Look up an item, and pay for a key that is a tuple."""
        if isinstance(argument, tuple):
            meter().spend_on(argument)
        return super().getitem(obj, argument)


class _ChargeInserter(NodeTransformer):
    """Inserts paying filters where Jinja would compile a step to plain Python."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        cost = _cost_of(node.body)
        self.generic_visit(node)
        node.iter = _through(_PASSED, node.iter, nodes.Const(cost))
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        pair = [node.expr, *(operand.expr for operand in node.ops)]
        if len(pair) == 2 and any(isinstance(each, nodes.Const) for each in pair):
            return node  # a constant is a text or number, which is compared in one step
        node.expr = _through(_READ, node.expr)
        for operand in node.ops:
            operand.expr = _through(_READ, operand.expr)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _through(_PAID, node) if isinstance(node.arg, nodes.Slice) else node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.nodes = [_through(_READ, each) for each in node.nodes]
        return _through(_PAID, node)

    def _body(self, node: Any) -> nodes.Node:
        cost = _cost_of(node.body)
        self.generic_visit(node)
        node.body.insert(
            0, nodes.ExprStmt(_through(_CHARGE, nodes.Const(cost)), lineno=node.lineno)
        )
        return node  # type: ignore[no-any-return]

    visit_Macro = visit_CallBlock = visit_Block = _body  # noqa: N815

    def _literal(self, node: Any) -> nodes.Node:
        self.generic_visit(node)
        return node if getattr(node, "ctx", "load") != "load" else _through(_READ, node)

    visit_List = visit_Dict = visit_Tuple = _literal  # noqa: N815


def _through(name: str, node: Any, *args: nodes.Expr) -> nodes.Expr:
    if isinstance(node, nodes.Const) and not args and name != _CHARGE:
        return node
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)


def _cost_of(body: list[nodes.Node]) -> int:
    """The cost of running a body once: each piece of output takes an entry of a list."""
    return ITEM_CHARACTERS * (1 + sum(len(list(each.find_all(nodes.Output))) for each in body))


def _charge(cost: int) -> None:
    meter().spend(cost)


def _passed(items: Iterable[Any], cost: int) -> Iterator[Any]:
    return meter().passed(items, cost)


def _paid(value: Any) -> Any:
    return _pay(value)


def _read(value: Any) -> Any:
    if type(value) not in SCALARS and not isinstance(value, Undefined):
        meter().spend_on(value)
    return value


@jinja2.pass_context  # so that Jinja does not call it while it compiles
def _written(_: Context, value: Any) -> Any:
    return value if type(value) is str else _read(value)


def _concatenated(pieces: Iterable[str]) -> str:
    spend, kept = meter().spend, list[str]()
    for piece in pieces:
        spend(len(piece))
        kept.append(piece)
    return "".join(kept)


def _pay(value: Any) -> Any:
    """Pay for a result, and return it."""
    if isinstance(value, str):
        meter().spend(len(value))
    elif isinstance(value, (list, tuple, dict)):
        meter().spend(ITEM_CHARACTERS * len(value))
    elif isinstance(value, Iterator):
        return meter().passed(value)
    elif isinstance(value, (bytes, bytearray)):
        raise SecurityError("bytes in a chat template")
    return value


def _pay_for_call(called: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    for value in (*args, *kwargs.values()):
        meter().spend_on(value)
    method = getattr(called, "__wrapped__", called)  # the sandbox wraps `format`
    if not isinstance(method, (BuiltinMethodType, MethodWrapperType)):
        return
    if method.__name__ not in _METHODS:
        raise SecurityError(f"a call of {method.__name__}, which no chat template needs")
    held = method.__self__
    if isinstance(held, (list, tuple)):
        meter().spend_on(held)
    cost = METHOD_COSTS.get(method.__name__)
    if cost is not None and isinstance(held, str):
        meter().spend(cost(held, *args, **kwargs))


def _pay_for_operator(operator: str, left: Any, right: Any) -> None:
    pair = (left, right)
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        _check_numbers(operator, left, right)
    elif operator == "*":
        number = next((value for value in pair if isinstance(value, int)), 0)
        held = left if number is right else right
        size = len(held) if hasattr(held, "__len__") else 0
        meter().spend(max(0, number) * size * (1 if isinstance(held, str) else ITEM_CHARACTERS))
    elif operator == "%" and isinstance(left, str):
        meter().spend_on(right)
        meter().spend(cost_of_pattern(left, right))


def _check_numbers(operator: str, left: Any, right: Any) -> None:
    bits = [value.bit_length() if isinstance(value, int) else 64 for value in (left, right)]
    made = {"*": sum(bits), "**": bits[0] * abs(right) if bits[0] > 1 else 1}.get(operator, 0)
    if max(*bits, made) > _MAX_BITS:
        raise SecurityError(f"a number of more than {_MAX_BITS} bits")


def _filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that pays for its arguments and its result."""
    num_own = int(hasattr(function, "jinja_pass_arg"))
    cost = FILTER_COSTS.get(name)

    @wraps(function)
    def paid(*args: Any, **kwargs: Any) -> Any:
        if name in _REFUSED_FILTERS:
            raise SecurityError(f"the filter {name}, which no chat template needs")
        own, given = args[:num_own], list(args[num_own:])
        if name in _EAGER_FILTERS and isinstance(given[0], Iterator):
            given[0] = list(given[0])
        meter().spend(ITEM_CHARACTERS)
        if name not in _SHALLOW_FILTERS:
            for value in (*given, *kwargs.values()):
                meter().spend_on(value)
        if cost is not None:
            meter().spend(cost(*given, **kwargs))
        made = function(*own, *given, **kwargs)
        return made if made is given[0] else _pay(made)

    return paid


def _deep_test(function: Callable[..., Any]) -> Callable[..., Any]:
    """A test that pays for its arguments."""

    @wraps(function)
    def paid(*args: Any) -> Any:
        for value in args:
            meter().spend_on(value)
        return function(*args)

    return paid


class _Generation(Extension):
    """The tag `{% generation %}`, which marks text of the model for training; it has no effect."""

    tags = {"generation"}  # noqa: RUF012  # as Jinja declares it

    def parse(self, parser: jinja2.parser.Parser) -> nodes.Node:
        """Parse the text between the tags, in its own scope."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_as_it_is"), [], [], body, lineno=line)

    def _as_it_is(self, caller: Macro) -> str:
        return str(caller())


class _Dict:
    """The function `dict` of templates, without the attributes of the class."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, keys: Iterable[Any], value: Any = None) -> dict[Any, Any]:
        """Return a dict with these keys and one value."""
        return dict.fromkeys(keys, value)


class _Names(Namespace):
    """The function `namespace` of templates, without names that begin with an underscore."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, given = args[0], dict(*args[1:], **kwargs)
        for name in given:
            _check_name(name)
        Namespace.__init__(self, given)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        Namespace.__setitem__(self, name, value)


def _check_name(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"an attribute {name!r} of a namespace")


def _raise(message: Any) -> None:
    raise TemplateError(str(message))


def _now(pattern: str) -> str:
    if len(pattern) > MAX_INDENT:
        raise SecurityError("a long pattern of a date")
    cost_of_pattern(pattern)
    return datetime.now().strftime(pattern)


def _to_json(
    x: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    """Write JSON as transformers' filter does: without escapes for HTML."""
    if len(str(indent)) > MAX_INDENT or (isinstance(indent, int) and indent > MAX_INDENT):
        raise SecurityError("JSON that is indented further than anybody reads")
    if any(len(str(each)) > MAX_INDENT for each in separators or ()):
        raise SecurityError("JSON with long separators")
    encoder = json.JSONEncoder(
        ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
    if indent is None:
        return encoder.encode(x)
    return _concatenated(encoder.iterencode(x))
