# %% [markdown]
# # Extract fields as a type of your own (JSON)
# Give a dataclass, a pydantic model, a TypedDict or a JSON schema; the answer is constrained to it,
# and each field has a confidence.
#
# ![A receipt](pictures/receipt.png)

# %%
from dataclasses import dataclass

from qwenvl_kit import VisionChat
from qwenvl_kit.tasks import extract, stream_extract


@dataclass
class Receipt:
    """The fields that are wanted."""

    date: str
    tax: float
    total: float


chat = VisionChat.from_pretrained()
found = extract(chat, "pictures/receipt.png", Receipt)
print(found.value)
for name, confidence in found.confidences.items():
    print(f"  {name}: {confidence:.2f}")

# %%
found

# %% [markdown]
# ## While it is written
# `stream_extract` gives the fields as they come; the last one is the value.

# %%
for partial in stream_extract(chat, "pictures/receipt.png", Receipt):
    last = partial
print(last)
