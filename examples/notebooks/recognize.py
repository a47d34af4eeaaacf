# %% [markdown]
# # Recognize everything of a kind
# `recognize` gives each thing with its box, its names and its attributes, as a value of your own
# type. The small model writes boxes alone, so that a script stands in its place here: an answer in
# the form that Qwen3-VL writes (thousandths of the sides).

# %%
from dataclasses import dataclass

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.tasks import recognize

script = [
    """```json
[
	{"bbox_2d": [140, 547, 352, 833], "name_zh": "红色积木", "name_en": "red block"},
	{"bbox_2d": [413, 494, 613, 645], "name_zh": "蓝色积木", "name_en": "blue block"},
	{"bbox_2d": [681, 633, 848, 881], "name_zh": "绿色积木", "name_en": "green block"}
]
```""",
    """[{"bbox_2d": [140, 547, 352, 833], "colour": "red", "edges_cm": [20, 20, 20]},
{"bbox_2d": [413, 494, 613, 645], "colour": "blue", "edges_cm": [30, 12, 16]},
{"bbox_2d": [681, 633, 848, 881], "colour": "green", "edges_cm": "small"}]""",
]
chat = VisionChat(ScriptedBackend(script, family="qwen3_vl"))
things = recognize(chat, "pictures/table.png", "toys", names=["zh", "en"])
for thing in things:
    print(thing.value.names, [round(v) for v in (thing.box.x1_px, thing.box.y1_px)])

# %%
things.draw()

# %% [markdown]
# ## A type of your own
# A dataclass says which fields each thing has. An entry that does not fit costs itself alone, and
# is told.


# %%
@dataclass
class Block:
    """A block of wood."""

    colour: str
    edges_cm: list[float]


blocks = recognize(chat, "pictures/table.png", Block)
for block in blocks:
    print(block.value, f"{block.confidence:.2f}")
print(blocks.warnings[0][:77])
print([box.label or box.attributes for box in blocks.misfits])
