# %% [markdown]
# # Asking: one picture, several, and turns
# A question comes first, then any number of pictures. Parts of a message, message dicts of Qwen and
# of OpenAI, and conversations go the same way.
#
# ![A red circle and a blue square](pictures/shapes.png)

# %%
from qwenvl_kit import ImagePart, Message, VisionChat

chat = VisionChat.from_pretrained()
reply = chat.ask("Describe this image.", "pictures/shapes.png")
print(reply.text)
print(f"confidence {reply.confidence:.2f}, {reply.usage.visual_tokens} visual tokens")

# %% [markdown]
# In a notebook a reply shows itself, with what was shown and what it cost:

# %%
reply

# %% [markdown]
# ## Several pictures

# %%
print(chat.ask("What is different?", "pictures/before.png", "pictures/after.png"))

# %% [markdown]
# The same, with the order of text and pictures in your own hands:

# %%
message = Message.user(
    ImagePart("pictures/before.png"), ImagePart("pictures/after.png"), "What is different?"
)
print(chat.ask([message]))

# %% [markdown]
# ## Message dicts
# Those of the model cards and of the OpenAI client are taken as they are.

# %%
dicts = [
    {
        "role": "user",
        "content": [
            {"type": "image", "image": "pictures/shapes.png"},
            {"type": "text", "text": "What colour is the circle?"},
        ],
    }
]
print(chat.ask(dicts))

# %% [markdown]
# ## Turns
# A conversation pays for what is new alone: the second question reuses all that was computed for
# the first.

# %%
conversation = chat.start()
print(conversation.ask("Describe this image.", "pictures/shapes.png"))
second = conversation.ask("What colour is the square?")
print(second, "| tokens not computed again:", second.usage.reused_tokens)
