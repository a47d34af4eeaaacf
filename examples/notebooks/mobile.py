# %% [markdown]
# # Use a phone
# `next_action(device="mobile")` gives taps, swipes and buttons. A script plays Qwen3-VL, in the
# form of its publisher's notebook.

# %%
import PIL.Image
import PIL.ImageDraw

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.tasks import Click, Swipe, next_action

phone = PIL.Image.new("RGB", (540, 1200), (250, 250, 252))
pen = PIL.ImageDraw.Draw(phone)
pen.rounded_rectangle((40, 60, 500, 130), 30, fill=(232, 234, 240))
pen.text((80, 80), "Search", fill="gray", font_size=28)
for row in range(6):
    top = 190 + 160 * row
    pen.rounded_rectangle((40, top, 500, top + 120), 16, outline=(200, 204, 214), width=3)
    pen.text((80, top + 42), f"Message {row + 1}", fill="black", font_size=28)


def answer(thought, action, call):
    """An answer in the form of Qwen3-VL."""
    return (
        f"Thought: {thought}\nAction: {action}\n<tool_call>\n"
        f'{{"name": "mobile_use", "arguments": {call}}}\n</tool_call>'
    )


script = [
    answer(
        "The message may be further down.",
        "Swipe up to see more messages.",
        '{"action": "swipe", "coordinate": [500, 800], "coordinate2": [500, 300]}',
    ),
    answer(
        "Message 6 is on the screen.",
        "Tap on Message 6.",
        '{"action": "click", "coordinate": [500, 875]}',
    ),
    answer(
        "The message is open.",
        "Tell what it says.",
        '{"action": "answer", "text": "See you at 19:30."}',
    ),
]
steps = []
with VisionChat(ScriptedBackend(script, family="qwen3_vl")) as chat:
    for _ in range(3):
        step = next_action(chat, phone, "What is in message 6?", earlier=steps, device="mobile")
        print(step.thought, "|", step.said, "\n   ", step.action)
        steps.append(step)

# %% [markdown]
# ## Where the finger went
# Places are in pixels of the screenshot, whatever its size.

# %%
for step in steps:
    match step.action:
        case Swipe(start, stop):
            pen.line((start.x_px, start.y_px, stop.x_px, stop.y_px), fill="blue", width=8)
            pen.circle((stop.x_px, stop.y_px), 14, "blue")
        case Click(at):
            pen.ellipse(
                (at.x_px - 20, at.y_px - 20, at.x_px + 20, at.y_px + 20), outline="red", width=6
            )
phone.resize((270, 600))
