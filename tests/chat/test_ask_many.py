from __future__ import annotations

import time

import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit import (
    Failure,
    ImagePart,
    Message,
    PixelBudget,
    Reply,
    Request,
    Sampling,
    VisionChat,
)
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import (
    BudgetError,
    GenerationError,
    InputError,
    MediaNotFoundError,
    MessageError,
    OutOfMemoryError,
    QwenVLKitError,
)

RED = PIL.Image.new("RGB", (84, 56), "red")
TOO_SMALL = PixelBudget(total_tokens=1)


class CountingBackend(ScriptedBackend):
    """Echoes the question and keeps how many requests it had at a time."""

    def __init__(self):
        super().__init__(self._answer)
        self.together = [0]
        self._num_given = self._num_done = 0

    def submit(self, request, observer=None):
        self._num_given += 1
        return super().submit(request, observer)

    def _answer(self, request):
        time.sleep(0.002)  # so that others can come
        self.together.append(self._num_given - self._num_done)
        self._num_done += 1
        return request.messages[-1].text


def _echo(request):
    text = request.messages[-1].text
    if "fail" in text:
        raise GenerationError(f"cannot answer {text}")
    if "crash" in text:
        raise RuntimeError(text)
    return text


def _texts(results):
    return [str(result) if isinstance(result, Reply) else None for result in results]


@given(st.lists(st.sampled_from(["a", "b", "fail", "crash"]), max_size=12), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_each_request_is_answered_as_if_it_were_alone_whatever_its_neighbours(kinds, batch_size):
    chat = VisionChat(ScriptedBackend(_echo))
    questions = [f"{kind} {index}" for index, kind in enumerate(kinds)]
    results = chat.ask_many(questions, max_batch_size=batch_size)
    assert _texts(results) == [q if q[0] in "ab" else None for q in questions]
    for index, result in enumerate(results):
        if isinstance(result, Failure):
            assert result.index == index
            assert isinstance(result.error, GenerationError)
            assert result.error.where == f"requests[{index}]"
            assert questions[index] in result.error.problem


def test_an_unexpected_exception_of_a_backend_stays_attached_as_the_cause():
    (failure,) = VisionChat(ScriptedBackend(_echo)).ask_many(["crash"])
    assert isinstance(failure.error.__cause__, RuntimeError)


def test_a_scripts_exception_costs_the_request_in_whose_turn_it_comes():
    backend = ScriptedBackend(["a", GenerationError("no"), "c", ValueError("no"), "e"])
    results = VisionChat(backend).ask_many(["1", "2", "3", "4", "5"], max_batch_size=3)
    assert _texts(results) == ["a", None, "c", None, "e"]


def test_one_error_raised_for_many_requests_names_the_place_of_each():
    error = OutOfMemoryError("too little memory")

    def script(_):
        raise error

    results = VisionChat(ScriptedBackend(script)).ask_many(["a", "b", "c"])
    assert error.where == ""
    assert [r.error.where for r in results] == ["requests[0]", "requests[1]", "requests[2]"]
    assert {type(r.error) for r in results} == {OutOfMemoryError}


def test_a_bad_picture_is_placed_down_to_its_part_and_its_neighbours_are_answered():
    requests = [
        "first",
        Request([Message.system("x"), Message.user("y", ImagePart("/no/such.png"))], id="bad"),
        Request.about("third", RED, id="good"),
    ]
    first, bad, third = VisionChat(ScriptedBackend(_echo)).ask_many(requests)
    assert _texts([first, third]) == ["first", "third"]
    assert (first.request_id, third.request_id) == (None, "good")
    assert isinstance(bad.error, MediaNotFoundError)
    assert bad.error.where == "requests[1].messages[1].parts[1]"
    assert (bad.index, bad.request_id) == (1, "bad")


@pytest.mark.parametrize(
    ("request_", "error", "where"),
    [
        (None, MessageError, "requests[1]"),
        (["hi"], MessageError, "requests[1].messages[0]"),
        ([], MessageError, "requests[1].messages"),
        ({"role": "user", "content": [[]]}, MessageError, "requests[1].messages[0].content[0]"),
        (Request("x", sampling="warm"), InputError, "requests[1]"),
        (Request("x", budget="huge"), InputError, "requests[1].budget"),
        (Request.about("x", RED, budget=TOO_SMALL), InputError, "requests[1].budget"),
        (Request.about("x " * 5000, id="z"), InputError, "requests[1]"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_used_costs_itself_alone(request_, error, where):
    first, failed, third = VisionChat(ScriptedBackend(_echo)).ask_many(["a", request_, "b"])
    assert _texts([first, third]) == ["a", "b"]
    assert isinstance(failed.error, error)
    assert failed.error.where == where
    assert str(failed).startswith("request 1 failed:")


def test_an_error_is_raised_where_the_caller_wants_it_with_its_place():
    chat = VisionChat(ScriptedBackend(_echo))
    with pytest.raises(GenerationError, match=r"requests\[1\]"):
        chat.ask_many(["a", "fail", "b"], on_error="raise")
    assert _texts(chat.ask_many(["a", "b"], on_error="raise")) == ["a", "b"]


@pytest.mark.parametrize("max_batch_size", [1, 3, 200])
def test_no_more_requests_are_on_their_way_than_the_caller_allows(max_batch_size):
    backend = CountingBackend()
    VisionChat(backend).ask_many([str(i) for i in range(120)], max_batch_size=max_batch_size)
    assert min(2, max_batch_size) <= max(backend.together) <= max_batch_size


def test_requests_are_read_when_there_is_room_for_them():
    read = []

    def requests():
        for index in range(6):
            read.append(index)
            yield str(index) if index else "fail"

    with pytest.raises(GenerationError):
        VisionChat(ScriptedBackend(_echo)).ask_many(requests(), on_error="raise", max_batch_size=2)
    assert read in ([0], [0, 1])


def test_no_requests_give_no_results():
    assert VisionChat(ScriptedBackend([])).ask_many([]) == []


def test_a_requests_own_settings_win_over_the_calls():
    backend = ScriptedBackend(lambda _: "a b c d")
    own = Sampling(max_new_tokens=1)
    large = PIL.Image.new("RGB", (900, 900))
    results = VisionChat(backend).ask_many(
        [
            Request.about("x", large, sampling=own, budget=PixelBudget(4, 9)),
            Request.about("x", large),
        ],
        sampling=Sampling(max_new_tokens=3),
        budget=PixelBudget(16, 25),
    )
    assert _texts(results) == ["a", "a b c"]
    assert [r.plan.images[0].tokens <= 9 for r in results] == [True, False]
    assert results[1].plan.images[0].tokens <= 25


@pytest.mark.parametrize(
    "requests", ["one question", Message.user("a"), {"role": "user"}, Request("a"), None, 3]
)
def test_a_single_request_is_refused_because_it_would_be_read_letter_by_letter(requests):
    with pytest.raises(InputError, match=r"chat\.ask"):
        VisionChat(ScriptedBackend([])).ask_many(requests)


@pytest.mark.parametrize(
    "options",
    [{"on_error": "ignore"}, {"max_batch_size": 0}, {"max_batch_size": 1.5}, {"sampling": 1}],
)
def test_a_bad_argument_of_the_call_is_refused_before_any_request_is_read(options):
    def requests():
        pytest.fail("read")
        yield

    with pytest.raises(InputError):
        VisionChat(ScriptedBackend([])).ask_many(requests(), **options)


def test_a_progress_bar_changes_no_result(capsys):
    results = VisionChat(ScriptedBackend(_echo)).ask_many(["a", "fail"], progress=True)
    assert _texts(results) == ["a", None]
    assert "request" in capsys.readouterr().err


def test_a_failure_holds_an_error_of_the_kit():
    results = VisionChat(ScriptedBackend(_echo)).ask_many(["fail", "crash", None])
    assert all(isinstance(result.error, QwenVLKitError) for result in results)


def test_a_misspelt_budget_of_the_call_is_refused_at_once():
    with pytest.raises(BudgetError, match="huge"):
        VisionChat(ScriptedBackend(["yes"])).ask_many(["a"], budget="huge")


def test_a_batch_size_of_true_is_refused():
    with pytest.raises(InputError, match="max_batch_size"):
        VisionChat(ScriptedBackend(["yes"])).ask_many(["a"], max_batch_size=True)
