"""A type says what may stand in an answer, and what the answer is worth."""

from __future__ import annotations

import dataclasses
import enum
from typing import Annotated, Any, Literal, Optional, TypedDict

import pytest
from pydantic import BaseModel, Field

from qwenvl_kit.errors import AnswerError, MessageError, SchemaError
from qwenvl_kit.structured_output.schema_prompt import describe_fields
from qwenvl_kit.structured_output.target import Target


class Currency(enum.Enum):
    EURO = "EUR"
    DOLLAR = "USD"


@dataclasses.dataclass
class Item:
    name: str
    price: float


@dataclasses.dataclass
class Receipt:
    total: float
    currency: Currency
    items: list[Item]
    date: Optional[str] = None  # noqa: UP045


class Page(TypedDict):
    title: str
    authors: list[str]


class Invoice(BaseModel):
    number: int = Field(description="as  printed,\nat the top")
    kind: Literal["invoice", "bill"]
    buyer: dict[str, str] | None


@dataclasses.dataclass
class Node:
    name: str
    children: list[Node]


def test_dataclasses_typed_dicts_models_and_schemas_give_values_of_their_own():
    text = (
        '{"total": 12.5, "currency": "EUR", "items": [{"name": "tea", "price": 2}], "date": null}'
    )
    assert Target(Receipt).value_of(text) == Receipt(12.5, Currency.EURO, [Item("tea", 2.0)])
    assert Target(Page).value_of('{"title": "A", "authors": ["B"]}') == {
        "title": "A",
        "authors": ["B"],
    }
    invoice = Target(Invoice).value_of('{"number": 3, "kind": "bill", "buyer": null}')
    assert invoice == Invoice(number=3, kind="bill", buyer=None)
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert Target(schema).value_of('{"a": 3}') == {"a": 3}


def test_what_is_no_object_is_wrapped_and_unwrapped():
    target = Target(list[Item])
    assert target.answer_schema["required"] == ["value"]
    assert target.value_of('{"value": [{"name": "tea", "price": 2}]}') == [Item("tea", 2.0)]
    assert target.name_of(("value", 0, "name")) == "[0].name"


def test_fields_are_told_in_words_with_their_descriptions():
    assert describe_fields(Target(Receipt).answer_schema) == (
        "- total: number\n- currency: one of EUR, USD\n- items: list of objects:\n"
        "  - name: text\n  - price: number\n- date: text or null"
    )
    assert describe_fields(Target(Invoice).answer_schema).startswith(
        "- number: whole number, as printed, at the top\n- kind: one of invoice, bill\n"
    )
    assert "文本" in describe_fields(Target(Page).answer_schema, "zh")
    with pytest.raises(MessageError, match="language='fr'"):
        describe_fields(Target(Page).answer_schema, "fr")


def test_a_field_that_may_be_null_is_never_left_out():
    assert Target(Receipt).answer_schema["required"] == ["total", "currency", "items", "date"]
    assert Target(Receipt).answer_schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (Node, "Node contains itself"),
        ({"type": "object", "not": {}}, "enforced: not"),
        ({"properties": {"a": {"type": "string", "if": {}}}, "type": "object"}, "enforced: if"),
        ({"$ref": "#/$defs/x"}, "refers to"),
        (object(), "cannot be described"),
        (lambda: None, "cannot be described"),
        ({"type": "object", "properties": {"a": 3}}, "3 was given"),
        ({"type": "object", "properties": [1]}, "properties="),
        ({"anyOf": {"type": "string"}}, "anyOf="),
        ({"type": "array", "minItems": "2"}, "minItems="),
        ({"$defs": [], "type": "string"}, "defs="),
    ],
)
def test_a_type_that_no_answer_can_be_bound_to_is_refused(wanted: Any, problem: str):
    with pytest.raises(SchemaError, match=problem):
        Target(wanted)


def test_a_set_is_a_list_of_which_it_drops_what_comes_twice():
    assert Target(set[int]).value_of('{"value": [1, 2, 1]}') == {1, 2}


@pytest.mark.parametrize("depth", [40, 5_000])
def test_a_schema_of_endless_depth_is_refused(depth: int):
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    with pytest.raises(SchemaError, match=r"nested too deeply|more than 16 levels"):
        Target(schema)


def test_an_answer_that_the_type_refuses_is_told():
    bounded = Target(list[Annotated[int, Field(gt=3)]])
    with pytest.raises(AnswerError, match="greater than 3"):
        bounded.value_of('{"value": [1]}')
    with pytest.raises(AnswerError, match="no JSON"):
        bounded.value_of("{")
