# %% [markdown]
# # Find things: bounding boxes, points, counts
# `locate` gives boxes in the pixels of your own picture, whatever size the model saw and whatever
# form it writes.

# %%
from qwenvl_kit import VisionChat
from qwenvl_kit.tasks import count, locate

chat = VisionChat.from_pretrained()
boxes = locate(chat, "pictures/shapes.png", "all shapes")
for box in boxes:
    corners = [round(v) for v in (box.x1_px, box.y1_px, box.x2_px, box.y2_px)]
    print(box.label, corners, f"{box.confidence:.2f}")

# %%
boxes.draw()

# %% [markdown]
# What is not there is not found, and that is an answer:

# %%
print(len(locate(chat, "pictures/shapes.png", "the green star")))

# %%
counted = count(chat, "pictures/shapes.png", "shapes")
print(counted.value, f"{counted.confidence:.2f}")

# %% [markdown]
# ## Points
# The small model gives boxes alone. With a script in its place, in the form that Qwen3-VL writes
# (thousandths of the sides), `point_at` gives pixels:

# %%
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.tasks import point_at

script = [
    '[{"point_2d": [281, 520], "label": "circle"}, {"point_2d": [734, 479], "label": "square"}]'
]
with VisionChat(ScriptedBackend(script, family="qwen3_vl")) as scripted:
    for point in point_at(scripted, "pictures/shapes.png", "all shapes"):
        print(point.label, round(point.x_px), round(point.y_px))
