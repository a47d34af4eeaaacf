# %% [markdown]
# # Read text (OCR)
# Plain text, or lines with their places and confidences.
#
# ![A menu](pictures/menu.png)

# %%
from qwenvl_kit import VisionChat
from qwenvl_kit.tasks import read_text

chat = VisionChat.from_pretrained()
text = read_text(chat, "pictures/menu.png")
print("\n".join(text.lines))
print(f"confidence {text.confidence:.2f}")

# %% [markdown]
# ## Lines with places
# The small model was not trained for this form. Here is what a Qwen3-VL writes, from a script: its
# thousandths become pixels of the picture.

# %%
from qwenvl_kit.backends.scripted import ScriptedBackend

script = [
    '[{"bbox_2d": [75, 118, 610, 320], "text_content": "Fromage 6.50"}, '
    '{"bbox_2d": [75, 376, 600, 570], "text_content": "Poulet 12.80"}]'
]
with VisionChat(ScriptedBackend(script, family="qwen3_vl")) as scripted:
    for line in read_text(scripted, "pictures/menu.png", form="lines").text_lines:
        box = line.box
        print(line.text, [round(v) for v in (box.x1_px, box.y1_px, box.x2_px, box.y2_px)])
