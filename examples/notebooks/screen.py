# %% [markdown]
# # Use a screen
# `next_action` gives the next click or key as a value, in pixels of your screenshot.

# %%
import PIL.Image
import PIL.ImageDraw

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import AnswerError
from qwenvl_kit.tasks import next_action

screen = PIL.Image.new("RGB", (480, 240), (238, 240, 246))
pen = PIL.ImageDraw.Draw(screen)
pen.rounded_rectangle((320, 170, 450, 215), 8, fill=(60, 90, 200))
pen.text((350, 185), "Settings", fill="white", font_size=16)
screen

# %% [markdown]
# The small model was not trained for screens. What is no action is an error with the reply:

# %%
with VisionChat.from_pretrained() as chat:
    try:
        print(next_action(chat, screen, "Open the settings.").action)
    except AnswerError as error:
        print(error.problem[:60], "...")

# %% [markdown]
# ## A model that knows screens
# A script plays Qwen3-VL.

# %%
script = [
    'Action: Click on Settings.\n<tool_call>\n{"name": "computer_use", "arguments": '
    '{"action": "left_click", "coordinate": [802, 802]}}\n</tool_call>',
    'Action: It is done.\n<tool_call>\n{"name": "computer_use", "arguments": '
    '{"action": "terminate", "status": "success"}}\n</tool_call>',
]
steps = []
with VisionChat(ScriptedBackend(script, family="qwen3_vl")) as chat:
    for _ in range(2):
        steps.append(next_action(chat, screen, "Open the settings.", earlier=steps))
        print(steps[-1].said, steps[-1].action)

# %% [markdown]
# ## Where it clicked

# %%
at = steps[0].action.at
pen.ellipse((at.x_px - 6, at.y_px - 6, at.x_px + 6, at.y_px + 6), outline="red", width=3)
screen
