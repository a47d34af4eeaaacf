"""A chat template takes no more time and memory than a conversation needs, and renders the same."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import transformers

from qwenvl_kit import Message, Sampling, VisionChat, inspect
from qwenvl_kit.checkpoints.settings import read_settings
from qwenvl_kit.checkpoints.sources import find_checkpoint
from qwenvl_kit.embedded import MODEL_FOLDER
from qwenvl_kit.errors import CheckpointError, MessageError
from qwenvl_kit.processing.processor_config import load_published
from qwenvl_kit.prompts.chat_template import ChatTemplate

JINJA = "chat_template.jinja"
ENDLESS = "{% for a in m %}{% for b in m %}{% for c in m %}{% endfor %}{% endfor %}{% endfor %}"
LOOPS = "{% set m = range(99999) %}" + ENDLESS
MANY = "{% for i in range(60) %}"
COSTLY = {
    "three loops": LOOPS,
    "loops that leave all out": MANY + "{% for a in range(99999) if 0 %}{% endfor %}{% endfor %}",
    "a text, many times": "{{ 'x' * 1000000000 }}",
    "a text, many times, unseen": "{{ ('x' * 1000000000)|length }}",
    "a list, many times": "{{ ([1] * 1000000000)|length }}",
    "a long range": "{% for i in range(10 ** 9) %}{% endfor %}",
    "a macro in itself": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "a block in itself": "{% block a %}{{ self.a() }}{{ self.a() }}{% endblock %}",
    "a loop in itself": "{% for x in [1] recursive %}{{ loop([1, 1]) }}{% endfor %}",
    "a power": "{{ 10 ** 1000000000 }}",
    "squares": "{% set n = namespace(a=10) %}" + MANY + "{% set n.a = n.a * n.a %}{% endfor %}",
    "doubling": "{% set n = namespace(s='x') %}" + MANY + "{% set n.s = n.s ~ n.s %}{% endfor %}",
    "adding": "{% set n = namespace(s='x') %}" + MANY + "{% set n.s = n.s + n.s %}{% endfor %}",
    "a list of itself": "{% set n = namespace(s=[1]) %}" + MANY
    + "{% set n.s = [n.s, n.s] %}{% endfor %}{{ n.s }}",
    "a dict of itself": "{% set n = namespace(s=1) %}" + MANY
    + "{% set n.s = dict(a=n.s, b=n.s) %}{% endfor %}{{ n.s|tojson }}",
    "comparing": "{% set n = namespace(s=[1], t=[1]) %}" + MANY
    + "{% set n.s = (n.s * 2)|batch(1)|list %}{% set n.t = (n.t * 2)|batch(1)|list %}{% endfor %}"
    "{{ n.s == n.t }}",
    "keys": "{% set n = namespace(t=(1, 2)) %}" + MANY
    + "{% set n.t = {n.t: n.t}|items|first %}{% endfor %}",
    "namespaces": "{% set a = namespace() %}{% set b = namespace() %}{% set a.x = b %}"
    "{% set a.y = b %}{% set b.x = a %}{% set b.y = a %}{{ a }}",
    "center": "{{ 'a'|center(1000000000) }}",
    "center of texts": "{{ 'a'.center(1000000000) }}",
    "indent": "{{ 'a'|indent(1000000000, true) }}",
    "indent by a text": "{{ ('a\n' * 10000)|indent('x' * 10000) }}",
    "blanks by %": "{{ '%1000000000d' % 1 }}",
    "blanks by % and a number": "{{ '%*d' % (1000000000, 1) }}",
    "blanks by format": "{{ '{:>1000000000}'.format(1) }}",
    "blanks by format and a number": "{{ '{:{w}}'.format(1, w=1000000000) }}",
    "one text in many places": "{{ ('{0}' * 10000).format('x' * 1000000) }}",
    "replace": "{% set s = 'x' * 1000000 %}{{ s.replace('', s) }}",
    "the filter replace": "{% set s = 'x' * 1000000 %}{{ s|replace('', s) }}",
    "join": "{{ ('x' * 1000000).join(range(1000)|map('string')) }}",
    "the filter join": "{{ range(99999)|join('x' * 100000) }}",
    "batch": "{{ [1]|batch(1000000000, 'x')|list }}",
    "slice": "{{ [1]|slice(1000000000)|list }}",
    "round": "{{ 1.5|round(1000000000, 'floor') }}",
    "indented JSON": "{{ [[1]]|tojson(indent=1000000000) }}",
    "JSON with separators": "{{ [1, 2]|tojson(separators=('x' * 1000, ':')) }}",
    "wordwrap": "{{ ('a ' * 10000)|wordwrap(1, wrapstring='x' * 100000) }}",
    "a date": "{{ strftime_now('%1000000000Y') }}",
    "words of no meaning": "{{ lipsum(n=100000) }}",
    "bytes of a number": "{{ (1).to_bytes(1000000000, 'big') }}",
    "a number of many digits": "{{ ('z' * 100000)|int(base=36) }}",
    "a long number": "{{ " + "9" * 60_000 + " }}",
    "tags": "{{ ('<!--' * 100000)|striptags }}",
    "a long text in a loop": "{% for i in range(99999) %}" + "x" * 60_000 + "{% endfor %}",
    "a filter over a block": "{% filter center(1000000000) %}x{% endfilter %}",
    "brackets": "{{ " + "(" * 30_000 + "1" + ")" * 30_000 + " }}",
    "not not not": "{{ " + "not " * 15_000 + "1 }}",
    "conditions in conditions": "{% if 1 %}" * 3_000 + "{% endif %}" * 3_000,
    "a long template": "x" * 1_000_000,
}  # fmt: skip
"""What takes for ever, or all memory, or breaks a parser, where nobody bounds it."""


def render(source: str, *said: str) -> str:
    turns = [{"role": "user", "content": [{"type": "text", "text": text}]} for text in said]
    return ChatTemplate(source, {}).render(turns)


@pytest.fixture
def copy(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


@pytest.mark.parametrize("name", COSTLY)
def test_a_template_that_takes_for_ever_ends_in_an_error_of_the_checkpoint(
    copy: Path, name: str
) -> None:
    (copy / JINJA).write_text(COSTLY[name])
    checkpoint = find_checkpoint(copy)
    with pytest.raises(CheckpointError):
        load_published(checkpoint, read_settings(copy))  # as `connect` does
    assert inspect(copy).family == "qwen2_vl"  # which renders nothing


def test_no_weight_is_read_for_a_template_that_takes_for_ever(copy: Path) -> None:
    (copy / JINJA).write_text(LOOPS)
    with pytest.raises(CheckpointError, match="takes more memory than a conversation"):
        VisionChat.from_pretrained(copy, device="cpu")


def test_a_template_that_takes_for_ever_with_a_second_message_costs_that_request(
    copy: Path,
) -> None:
    template = (copy / JINJA).read_text()
    (copy / JINJA).write_text("{% if messages|length > 2 %}" + LOOPS + "{% endif %}" + template)
    chat = VisionChat.from_pretrained(copy, device="cpu")
    said = [Message.user("a"), Message.assistant("b"), Message.user("c")]
    with pytest.raises(CheckpointError, match="than a conversation of this length needs"):
        chat.ask(said)
    assert chat.ask("What?", sampling=Sampling(max_new_tokens=2)).usage.completion_tokens == 2


def test_what_grows_with_the_square_of_the_messages_is_rendered_for_hundreds() -> None:
    pairs = "{% for a in messages %}{{ (messages[:loop.index]|list)|length }},{% endfor %}"
    assert render(pairs, *["x"] * 700).endswith(",700,")


def test_what_grows_with_the_cube_of_the_messages_ends() -> None:
    cube = "{% set m = messages %}" + ENDLESS
    assert render(cube, *["x"] * 20) == ""
    with pytest.raises(CheckpointError, match="than a conversation of this length needs"):
        render(cube, *["x"] * 1000)


def test_a_long_text_may_be_copied_often() -> None:
    text = "word " * 400_000
    copies = "{% for a in messages %}" + "{{ a.content[0].text|trim ~ 'x' }}" * 10 + "{% endfor %}"
    assert render(copies, text) == (text.strip() + "x") * 10


HONEST = (
    "{% for m in messages %}{{ m.role }}{{ loop.index }}/{{ loop.length }}"
    "{% if not loop.last %},{% endif %}{{ loop.previtem.role }}{{ loop.nextitem }}{% endfor %}",
    "{% for m in messages|reverse %}{{ m.content[0].text | trim | upper }}{% endfor %}",
    "{% for m in messages[::-1] %}{% if loop.index0 %}{% break %}{% endif %}{{ m }}{% endfor %}",
    "{% for m in messages if m.role == 'user' %}{{ m.content }}{% else %}none{% endfor %}",
    "{% for m in nothing %}{% else %}none{% endfor %}{{ nothing }}{{ bos_token }}",
    "{% for k, v in messages[0].items() %}{{ k }}={{ v | string }};{% endfor %}",
    "{% set n = namespace(a=0, l=[]) %}{% for m in messages %}{% set n.a = n.a + 2 ** 3 % 5 %}"
    "{% set n.l = n.l + [m.role] %}{% endfor %}{{ n.a }}{{ n.l }}{{ n.l | join('-') }}",
    "{% macro say(m, x='') %}[{{ m.role }}{{ x }}{{ caller is defined }}]{% endmacro %}"
    "{{ say(messages[0]) }}{{ say(messages[0], x=3.5) | length }}",
    "{% macro wrap() %}<{{ caller() }}>{% endmacro %}{% call wrap() %}a{{ 1 }}{% endcall %}",
    "{% for m in messages %}{% generation %}{{ m.role }}{% endgeneration %}{% endfor %}",
    "{{ tools | tojson }}{{ tools | tojson(indent=4) }}{{ documents is none }}",
    "{{ messages | map(attribute='role') | unique | list }}{{ messages | length * 2 }}",
    "{{ (messages | selectattr('role', 'equalto', 'user') | list | first).content[0]['text'] }}",
    "{{ messages | rejectattr('role', 'in', ['user']) | map(attribute='role') | join(', ') }}",
    "{{ 'a-b'.split('-') }}{{ 'x,y'.replace(',', ';') }}{{ '%s and %02d' % ('a', 7) }}"
    "{{ 'z' | center(9) }}{{ 'q\nw' | indent(2) }}{{ '{} {x!r:>4}'.format(1, x='y') }}",
    "{{ {'a': 1, 'b': [1, (2, 3)]} }}{{ {'a': 1} | dictsort }}{{ [3, 1] | sort | first }}"
    "{{ [1, 2] == [1, 2] }}{{ 1 < 2 < 3 }}{{ 'a' in {'a': 1} }}{{ 7 // 2 }}{{ 2.5 | round }}",
    "{% set x %}a{{ messages | length }}{% endset %}{{ x }}"
    "{% filter upper %}{{ x }}b{% endfilter %}",
    "{% if '<think>' in messages[-1].content[0].text or messages[-1] is mapping %}y{% endif %}",
    "{{ raise_exception('no') }}",
    "{{ '2024 * %s, {\"a\": 2024, \"b\": {}}' % 'x' }}"
    "{{ '{{\"a\": 2024}} * {}: {a[0]}'.format(1, a='x') }}"
    "{{ '%(a)s 1000%%' | format(a=1) }}{{ strftime_now('2024 * {:1000}') }}",
    "{{ strftime_now('%Y') | length }}{{ messages[5] }}{{ range(3) | list }}{{ dict(a=1) }}",
    "{{ ''.join(['a', 'b']) }}{{ messages[0].get('role') }}{{ messages[0].keys() | list }}"
    "{{ 'x' ~ 1 ~ none }}{{ 'a\tb'.expandtabs(4) }}{{ 'é<' | e }}{{ -3 | abs }}{{ '5' | int + 1 }}",
)  # fmt: skip


@pytest.fixture(scope="module")
def processor() -> Any:
    return transformers.AutoProcessor.from_pretrained(MODEL_FOLDER)


@pytest.mark.parametrize("source", HONEST, ids=range(len(HONEST)))
@pytest.mark.parametrize("goes_on", [False, True])
def test_what_templates_use_is_rendered_as_by_transformers(
    processor: Any, source: str, goes_on: bool
) -> None:
    def said(role: str, text: str) -> dict[str, Any]:
        return {"role": role, "content": [{"type": "text", "text": text}]}

    turns = [said("system", "S"), said("user", " Hi "), said("assistant", "so  ")]
    turns = turns if goes_on else [*turns, said("user", "é <b>?")]
    tools = [{"type": "function", "function": {"name": "look", "description": "é & <x>"}}]
    endings = {"add_generation_prompt": not goes_on, "continue_final_message": goes_on}

    def outcome(render: Any) -> str:
        try:
            return str(render())
        except (ValueError, TypeError, MessageError) as error:
            return type(error).__name__
        except Exception as error:  # Jinja's own, and that of a prompt without its last message
            return "refused" if "Template" in type(error).__name__ else repr(error)

    theirs = outcome(
        lambda: processor.apply_chat_template(
            turns, chat_template=source, tools=tools, tokenize=False, **endings
        )
    )
    template = ChatTemplate(source, processor.tokenizer.special_tokens_map)
    ours = outcome(lambda: template.render(turns, tools=tools, goes_on=goes_on))
    assert ours == ("refused" if theirs == "ValueError" else theirs)
