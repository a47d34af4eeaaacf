# %% [markdown]
# # Describe a picture
# `describe` asks for a description: short, standard or detailed, of all or of one thing.
#
# ![A red circle and a blue square](pictures/shapes.png)

# %%
from qwenvl_kit import VisionChat
from qwenvl_kit.tasks import describe

chat = VisionChat.from_pretrained()
described = describe(chat, "pictures/shapes.png")
print(described)
print(f"confidence {described.confidence:.2f}")

# %% [markdown]
# In another wording, which the small model was not trained for, its confidence is lower:

# %%
for detail in ("short", "detailed"):
    other = describe(chat, "pictures/shapes.png", detail=detail)
    print(f"{detail}: {other} ({other.confidence:.2f})")
