"""What belongs to the caller goes to one server alone, and stands in no message."""

from __future__ import annotations

import html
import json
import traceback
from collections import deque
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.server.proxies import environment_proxy, is_this_machine
from qwenvl_kit.backends.server.secret_masks import SecretMask
from qwenvl_kit.errors import (
    InputError,
    ModelNotFoundError,
    ServerConnectionError,
    ServerRefusedError,
    UnknownFamilyError,
)

from .conftest import Connect
from .malice import redirecting
from .speaking import Fail, Handler, Speaker, serving

SECRET = 'q7/Zt+9"wX w=<k>&e'
"""With characters that URLs, JSON and HTML write otherwise."""

QUESTION = "a question that is nobody's business"


def echoing(form: Any) -> Fail:
    """A refusal that repeats a header in some form."""

    def act(handler: Handler) -> None:
        said = form(handler.headers["X-Auth-Token"])
        handler.say(401, {"error": {"message": f"bad token {said} given"}})

    return act


@pytest.mark.parametrize(
    "form",
    [
        str,
        quote,
        lambda text: quote(text, safe=""),
        lambda text: quote(text, safe="").lower(),
        quote_plus,
        json.dumps,
        repr,
        html.escape,
        str.upper,
        lambda text: text[:9],
        lambda text: text[5:],
        lambda text: "x" * 285 + text,
    ],
)
def test_a_header_of_the_callers_is_in_no_message_and_no_traceback(
    connect: Connect, form: Any
) -> None:
    speaker = Speaker(failures=deque([echoing(form)]))
    chat = connect(speaker, headers={"X-Auth-Token": SECRET}, max_retries=0)
    with pytest.raises(ServerRefusedError) as caught:
        chat.ask("What?")
    written = str(caught.value) + "".join(traceback.format_exception(caught.value))
    for at in range(len(SECRET) - 6):
        part = SECRET[at : at + 6]
        for said in (part, quote(part, safe=""), json.dumps(part)[1:-1], part.upper()):
            assert said not in written


def test_a_login_is_masked_in_clear_and_short_words_where_they_stand_alone() -> None:
    mask = SecretMask(["Basic dXNlcjpwYXNzd29yZA==", "blue"])
    assert mask("no user:password here") == "no *** here"
    assert mask("no password here") == "no *** here"
    assert mask("blue, bluebells") == "***, bluebells"
    assert SecretMask()("Bearer abc at https://me:you@host") == "*** at https://***host"


def test_a_model_that_is_named_like_the_key_is_not_shown(connect: Connect) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        connect(Speaker(models=["of-no-known-form", "b"]), api_key="of-no-known-form")
    assert "known" not in str(caught.value)
    with pytest.raises(UnknownFamilyError) as unknown:
        connect(Speaker(models=["of-no-known-form"]), api_key="of-no-known-form")
    assert "known-form" not in str(unknown.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_origin_is_refused_and_nothing_is_sent_there(
    connect: Connect, status: int
) -> None:
    other = Speaker()
    with serving(other) as elsewhere:
        place = f"{elsewhere}/chat/completions"
        speaker = Speaker(failures=deque([redirecting(place, status)] * 2))
        chat = connect(speaker, headers={"X-Auth-Token": SECRET}, max_retries=0)
        with pytest.raises(ServerRefusedError, match="another address"):
            chat.ask(QUESTION)
        listing = redirecting(f"{elsewhere}/models", status)
        with pytest.raises(ServerRefusedError, match="another address"):
            connect(Speaker(listing=listing), max_retries=0)
    assert (other.requests, other.paths) == ([], [])
    assert len(speaker.requests) == 1


def test_a_redirect_to_the_same_origin_is_followed(connect: Connect) -> None:
    here = "/v1/elsewhere/chat/completions"
    speaker = Speaker(failures=deque([redirecting(here)]))
    assert str(connect(speaker).ask("What?")) == "A red circle."
    assert speaker.paths[-1] == here


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.8.9.1", "::1", "0.0.0.0"),
        *("::", "::ffff:127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1"),
    ],
)
def test_this_machine_is_known_in_every_notation(host: str) -> None:
    assert is_this_machine(host)


@pytest.mark.parametrize("host", ["localhost.example", "10.0.0.1", "example.org", "128.0.0.1", ""])
def test_other_machines_are_not_taken_for_it(host: str) -> None:
    assert not is_this_machine(host)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Speaker]:
    """A proxy that the environment names for all that it can name one for."""
    speaker = Speaker(models=["Qwen2-VL-tiny"])
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("REQUEST_METHOD", raising=False)
    with serving(speaker) as address:
        named = address.removesuffix("/v1").replace("//", "//me:hidden@")
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, named)
            monkeypatch.setenv(name.lower(), named)
        yield speaker


@pytest.mark.parametrize("use", [False, True])
def test_no_proxy_is_asked_for_what_runs_on_this_machine(
    connect: Connect, proxy: Speaker, use: bool
) -> None:
    chat = connect(Speaker(), api_key="of-no-known-form", use_environment_proxy=use)
    assert str(chat.ask("What?")) == "A red circle."
    assert proxy.paths == []


def test_a_proxy_of_the_environment_is_passed_over_and_the_error_says_so(proxy: Speaker) -> None:
    with pytest.raises(ServerConnectionError, match="use_environment_proxy=True") as caught:
        VisionChat.connect("http://nowhere.invalid/v1", max_retries=0)
    assert proxy.paths == []
    assert "hidden" not in str(caught.value)


def test_a_proxy_of_the_environment_is_used_where_that_is_asked_for(proxy: Speaker) -> None:
    with VisionChat.connect(
        "http://nowhere.invalid/v1", use_environment_proxy=True, checkpoint=None
    ) as chat:
        assert str(chat.ask("What?")) == "A red circle."
    assert proxy.paths[0] == "http://nowhere.invalid/v1/models"


def test_hosts_that_the_environment_names_need_no_proxy(
    proxy: Speaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert environment_proxy("http://nowhere.invalid/v1") is not None
    monkeypatch.setenv("no_proxy", "nowhere.invalid")
    assert environment_proxy("http://nowhere.invalid/v1") is None


def test_a_proxy_that_cannot_be_used_is_an_error_that_does_not_show_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "ftp://me:hidden@host:99")
    with pytest.raises(InputError, match="proxy") as caught:
        VisionChat.connect("http://nowhere.invalid/v1", use_environment_proxy=True)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "base_url",
    ["http://h/v1?key=hidden", "http://h/v1#hidden", "http:/me:hidden@h/v1", "h:1?key=hidden"],
)
def test_an_address_with_a_query_or_login_is_refused_and_not_shown(base_url: str) -> None:
    with pytest.raises(InputError) as caught:
        VisionChat.connect(base_url)
    assert "hidden" not in str(caught.value)
