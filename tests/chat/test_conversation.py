from __future__ import annotations

import PIL.Image
import pytest

from qwenvl_kit import ImagePart, Message, Sampling, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import GenerationError, MediaNotFoundError, MessageError

RED = PIL.Image.new("RGB", (84, 56), "red")


def test_a_conversation_remembers_what_was_said_and_shown():
    backend = ScriptedBackend(["A circle.", "Red."])
    conversation = VisionChat(backend).start(system="Be brief.")
    assert conversation.ask("What is it?", RED).text == "A circle."
    assert conversation.ask("And the colour?").text == "Red."
    said = (
        Message.system("Be brief."),
        Message.user(ImagePart(RED), "What is it?"),
        Message.assistant("A circle."),
        Message.user("And the colour?"),
    )
    assert backend.requests[1].messages == said
    assert conversation.messages == (*said, Message.assistant("Red."))
    assert len(backend.requests[1].media) == 1


def test_a_conversation_may_start_without_instructions():
    assert VisionChat(ScriptedBackend([])).start().messages == ()


@pytest.mark.parametrize("failing", [GenerationError("no"), RuntimeError("boom")])
def test_a_question_that_fails_leaves_the_conversation_as_it_was(failing):
    conversation = VisionChat(ScriptedBackend(["first", failing, "second"])).start()
    conversation.ask("1")
    before = conversation.messages
    with pytest.raises(type(failing)):
        conversation.ask("2")
    assert conversation.messages == before
    assert conversation.ask("2").text == "second"


def test_a_bad_picture_leaves_the_conversation_as_it_was_and_is_placed_in_it():
    conversation = VisionChat(ScriptedBackend(["first"])).start()
    conversation.ask("1")
    before = conversation.messages
    with pytest.raises(MediaNotFoundError) as caught:
        conversation.ask("2", RED, "/no/such.png")
    assert caught.value.where == "messages[2].parts[1]"
    assert conversation.messages == before


def test_each_question_may_have_its_own_settings():
    conversation = VisionChat(ScriptedBackend(["a b c", "a b c"])).start()
    assert conversation.ask("1", sampling=Sampling(max_new_tokens=1)).text == "a"
    assert conversation.ask("2").text == "a b c"


def test_two_conversations_of_one_chat_do_not_hear_each_other():
    backend = ScriptedBackend(lambda request: str(len(request.messages)))
    chat = VisionChat(backend)
    first, second = chat.start(), chat.start(system="x")
    assert [first.ask("a").text, second.ask("b").text, first.ask("c").text] == ["1", "2", "3"]


@pytest.mark.parametrize("system", [3, b"x", RED])
def test_instructions_that_are_no_text_are_refused(system):
    with pytest.raises(MessageError):
        VisionChat(ScriptedBackend([])).start(system=system)


def test_an_empty_answer_is_part_of_the_conversation():
    conversation = VisionChat(ScriptedBackend(["", "later"])).start()
    assert conversation.ask("1").text == ""
    assert conversation.ask("2").text == "later"
    assert conversation.messages[1] == Message.assistant("")
