# %% [markdown]
# # Extract with evidence (boxes and pages)
# `evidence=True` gives each value its confidence, its page and its box in the original's pixels.
#
# ![A receipt](pictures/receipt.png)

# %%
import json
from dataclasses import dataclass

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.tasks import extract


@dataclass
class Receipt:
    """The fields that are wanted."""

    date: str
    tax: float
    total: float


chat = VisionChat.from_pretrained()
found = extract(chat, "pictures/receipt.png", Receipt, evidence=True)
for name, evidence in found.evidence.items():
    print(name, evidence)

# %%
found.draw()

# %% [markdown]
# The embedded model is of the Qwen2-VL architecture, which writes no boxes into JSON: each value
# was located afterwards. Qwen2.5-VL and later write values and boxes in one answer; in the next
# cells a script answers for Qwen3-VL.
#
# ## A value that stands nowhere
# The model gives no box to it, and `missing` names it.

# %%
answer = {
    "date": {"value": "2024-03-18", "bbox_2d": [340, 330, 850, 450]},
    "tax": {"value": 4.2, "bbox_2d": [280, 530, 480, 650]},
    "total": {"value": 99.0, "bbox_2d": None},
}
scripted = VisionChat(ScriptedBackend([json.dumps(answer)], family="qwen3_vl"))
found = extract(scripted, "pictures/receipt.png", Receipt, evidence=True)
print(found.missing)

# %% [markdown]
# ## A second look
# `verify=True` cuts each box out of the original, reads it and compares: 4.2 with "Tax: 5.20".

# %%
look = ["Date: 18 March 2024", "Tax: 5.20"]
scripted = VisionChat(ScriptedBackend([json.dumps(answer), *look], family="qwen3_vl"))
found = extract(scripted, "pictures/receipt.png", Receipt, evidence=True, verify=True)
found
