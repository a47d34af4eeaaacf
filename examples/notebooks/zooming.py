# %% [markdown]
# # Look closer
# `zoom_answer` asks where to look, cuts that part from the pixels of the original, and asks again
# with both. The small model finds the place; it was not trained with a part beside its picture, so
# its answer is unsure, and wrong.

# %%
import PIL.Image
import PIL.ImageDraw

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.tasks import think_with_images, zoom_answer

picture = PIL.Image.new("RGB", (1600, 1200), "white")
pen = PIL.ImageDraw.Draw(picture)
pen.ellipse((1080, 640, 1360, 920), fill="red")
pen.rectangle((200, 180, 520, 500), fill="blue")

with VisionChat.from_pretrained() as chat:
    closer = zoom_answer(chat, picture, "What is the colour of the circle?", what="the red circle")
print(closer, round(closer.confidence, 2))
closer.regions().draw().resize((480, 360))

# %% [markdown]
# ## The model calls the tool
# Qwen3-VL and Qwen3.5 were trained to zoom while they think. A script plays Qwen3-VL.

# %%
street = PIL.Image.new("RGB", (1600, 1200), (214, 224, 235))
pen = PIL.ImageDraw.Draw(street)
pen.rectangle((0, 800, 1600, 1200), fill=(120, 120, 124))
pen.rectangle((200, 300, 700, 800), fill=(180, 120, 90))
pen.rounded_rectangle((900, 700, 1400, 900), 60, fill=(30, 30, 34))
pen.rectangle((1100, 828, 1216, 860), fill="white")
pen.text((1106, 832), "BW14 WDZ", fill="black", font_size=20)

script = [
    "The number is too small to read. I zoom in on the plate.\n<tool_call>\n"
    '{"name": "image_zoom_in_tool", "arguments": {"label": "license plate", '
    '"bbox_2d": [680, 682, 768, 724], "img_idx": 0}}\n</tool_call>',
    'The plate reads BW14 WDZ.\n[{"bbox_2d": [687, 690, 760, 717], "label": "license plate"}]',
]
with VisionChat(ScriptedBackend(script, family="qwen3_vl", context_tokens=16_384)) as chat:
    answer = think_with_images(chat, street, "What is the number of the car?")
answer

# %% [markdown]
# ## Where it looked
# Steps and boxes are in pixels of the original, through any chain of parts and rotations.

# %%
print(answer.steps[0].box)
print(answer.boxes())
answer.regions().draw().resize((480, 360))
