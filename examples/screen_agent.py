"""A model that works at a web page: `python examples/screen_agent.py`.

A browser shows a page; the model is shown a screenshot and says what to do next, in the form that
Qwen2.5-VL, Qwen3-VL and Qwen3.5 were trained on; Playwright does it; and so on, until it is done.
The small model of the package was not trained for screens: it is asked first, and what it answers
is told, whatever it is. Then a script plays a larger model. With a real one:
`python examples/screen_agent.py Qwen/Qwen3-VL-8B-Instruct`.

Needs `pip install playwright` and a Chromium (Debian: `apt-get install chromium`).
"""

from __future__ import annotations

import io
import json
import shutil
import sys

import PIL.Image
from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import Error as BrowserError

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import AnswerError
from qwenvl_kit.tasks import (
    Click,
    Done,
    DragTo,
    MoveTo,
    PressKeys,
    Scroll,
    Step,
    TypeText,
    Wait,
    next_action,
)

GOAL = "Order a pizza for Ada, and say when it will be there."
MOST_STEPS = 10
PAGE = """
<style>
  body { margin: 0; height: 1600px; font: 24px sans-serif; background: #fdf6e3 }
  body > * { position: absolute; left: 80px; font: inherit; box-sizing: border-box }
</style>
<h1 style="top: 0">Pizza</h1>
<input id="name" placeholder="Your name" style="top: 120px; width: 480px; height: 60px">
<p style="top: 300px">Scroll down to order.</p>
<button style="top: 1200px; width: 240px; height: 60px"
  onclick="told.textContent = `Thank you, ${name_.value}! Ready at 19:30.`">Order</button>
<p id="told" style="top: 1300px"></p>
<script>name_ = document.getElementById("name"); told = document.getElementById("told")</script>
"""
SCRIPT = [
    ("I click on the field.", {"action": "left_click", "coordinate": [250, 208]}),
    ("I type the name.", {"action": "type", "text": "Ada"}),
    ("The button is further down.", {"action": "scroll", "pixels": -800}),
    ("I order.", {"action": "left_click", "coordinate": [156, 597]}),
    ("", {"action": "answer", "text": "At 19:30."}),
]
KEYS = {"ctrl": "Control", "alt": "Alt", "shift": "Shift", "enter": "Enter", "return": "Enter",
        "tab": "Tab", "esc": "Escape", "escape": "Escape", "backspace": "Backspace"}  # fmt: skip


def scripted_chat() -> VisionChat:
    """What a larger model would say, written beforehand."""
    answers = []
    for said, arguments in SCRIPT:
        call = json.dumps({"name": "computer_use", "arguments": arguments})
        answers.append(f"Action: {said}\n<tool_call>\n{call}\n</tool_call>")
    return VisionChat(ScriptedBackend(answers, family="qwen3_vl"))


def screenshot(page: Page) -> PIL.Image.Image:
    """What the page looks like now; `scale` makes a pixel of it one of the mouse."""
    return PIL.Image.open(io.BytesIO(page.screenshot(scale="css")))


def perform(page: Page, step: Step) -> None:
    """Do what the model said."""
    action, mouse, keyboard = step.action, page.mouse, page.keyboard
    at = getattr(action, "at", None)
    if at is not None and not isinstance(action, DragTo):
        mouse.move(at.x_px, at.y_px)
    if isinstance(action, Click):
        for _ in range(action.times):
            mouse.down(button=action.button)
            mouse.up(button=action.button)
    elif isinstance(action, DragTo):
        mouse.down()
        mouse.move(action.at.x_px, action.at.y_px)
        mouse.up()
    elif isinstance(action, TypeText):
        keyboard.type(action.text)
    elif isinstance(action, PressKeys):
        keyboard.press("+".join(KEYS.get(key.lower(), key) for key in action.keys))
    elif isinstance(action, Scroll):
        x, y = (-action.pixels, 0.0) if action.is_horizontal else (0.0, -action.pixels)
        mouse.wheel(x, y)
        page.wait_for_timeout(300)
    elif isinstance(action, Wait):
        page.wait_for_timeout(action.seconds * 1000)
    else:
        assert isinstance(action, (MoveTo, Done))


def work(chat: VisionChat, page: Page, goal: str, most_steps: int = MOST_STEPS) -> Done | None:
    """Step by step until it is done; None if it is not, and why."""
    steps: list[Step] = []
    while len(steps) < most_steps:
        try:
            step = next_action(chat, screenshot(page), goal, earlier=steps)
        except AnswerError as error:  # what the model wrote is no action; error.reply has it
            print(f"no action: {error.problem}")
            return None
        print(f"{step.said or '-'}\n    {step.action}")
        for warning in step.warnings:
            print(f"    note: {warning}")
        if isinstance(step.action, Done):
            return step.action
        try:
            perform(page, step)
        except BrowserError as error:  # a key that no keyboard has
            print(f"    cannot be done: {str(error).splitlines()[0]}")
        steps.append(step)
    print(f"not done after {most_steps} steps")
    return None


def try_at(browser: Browser, chat: VisionChat, most_steps: int = MOST_STEPS) -> bool:
    """Let a model work at the page; True if the goal was reached."""
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.set_content(PAGE)
    done = work(chat, page, GOAL, most_steps)
    shown = page.inner_text("#told")
    page.close()
    print(f"The page says: {shown or '-'}\nThe model says: {(done and done.answer) or '-'}\n")
    return shown == "Thank you, Ada! Ready at 19:30."


def main() -> None:
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser_path is None:
        raise SystemExit("There is no Chromium here; Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        # The page is our own; for those of strangers add chromium_sandbox=True, and ask a person.
        browser = playwright.chromium.launch(executable_path=browser_path)
        if sys.argv[1:]:
            chat = VisionChat.from_pretrained(sys.argv[1])
        else:
            print("The small model of the package, which was not trained for screens:")
            with VisionChat.from_pretrained() as small:
                try_at(browser, small, most_steps=2)
            print("A script that plays a larger model:")
            chat = scripted_chat()
        is_reached = try_at(browser, chat)
        browser.close()
    if not is_reached:
        raise SystemExit("The goal was not reached.")


if __name__ == "__main__":
    main()
