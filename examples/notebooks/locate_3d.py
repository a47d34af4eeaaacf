# %% [markdown]
# # Boxes in space, outlines and paths
# `locate_3d` gives boxes in metres before the camera. Only Qwen3-VL and later models write them, so
# that a script answers here, in their form: middle, size, and angles in half turns.

# %%
from qwenvl_kit import VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.tasks import ask_choice, locate_3d, outline, trace_path

script = [
    """[{"bbox_3d": [-0.32, 0.18, 1.16, 0.2, 0.2, 0.2, 0.15, 0, 0], "label": "red block"},
{"bbox_3d": [0.02, 0.08, 1.44, 0.3, 0.12, 0.16, 0.15, 0, 0], "label": "blue block"},
{"bbox_3d": [0.33, 0.24, 1.13, 0.14, 0.12, 0.22, 0.15, 0, 0], "label": "green block"}]""",
    """[{"poly_2d": [110, 515, 890, 515, 1000, 690, 1000, 1000, 0, 1000, 0, 690],
"label": "table"}]""",
    """[{"point_2d": [245, 600], "gripper": "close"}, {"point_2d": [300, 440]},
{"point_2d": [480, 430]}, {"point_2d": [530, 780], "gripper": "open"}]""",
]
chat = VisionChat(ScriptedBackend(script, family="qwen3_vl"))
camera = [[420, 0, 240], [0, 420, 180], [0, 0, 1]]
blocks = locate_3d(chat, "pictures/table.png", "all blocks", camera)
for block in blocks:
    print(block.label, f"{block.distance_m:.2f} m away, {block.volume_m3 * 1000:.1f} litres")

# %%
blocks.draw()

# %% [markdown]
# The camera is yours, that of the picture's EXIF, or one with a field of view of 60 degrees;
# `blocks.camera.source` tells which. Corners are in metres, and in pixels of the original:

# %%
print(blocks[0].corners[0])
print(blocks[0].project(blocks.camera)[0])
print(blocks.camera)

# %% [markdown]
# ## Outlines and paths
# An outline has the corners of a thing, and a path the points on the way to a goal.

# %%
tables = outline(chat, "pictures/table.png", "the table")
print(len(tables[0].corners), f"{tables[0].area_pixels:.0f} square pixels")
tables.draw()

# %%
path = trace_path(chat, "pictures/table.png", "put the red block between the others")
print([mark.attributes.get("gripper") for mark in path])
path.draw()

# %% [markdown]
# ## Options by letters
# Questions about space are asked with options: here with the embedded model.

# %%
with VisionChat.from_pretrained() as small:
    options = ["a blue square", "a green star"]
    seen = ask_choice(
        small, "What is in this image?", options, "pictures/shapes.png", form="letters"
    )
    print(seen.label, {label: round(share, 2) for label, share in seen.probabilities.items()})
