# %% [markdown]
# # Loading a model
# One call loads a checkpoint and says each decision with its reason. Without a name it is the small
# model that is part of the package; a hub id or a folder takes its place.
#
# ![A red circle and a blue square](pictures/shapes.png)

# %%
from qwenvl_kit import VisionChat, inspect
from qwenvl_kit.embedded import MODEL_FOLDER

chat = VisionChat.from_pretrained()
for name, value in sorted(chat.report().items()):
    if name in {"family", "device", "dtype", "attention"}:
        print(f"{name}: {value}")

# %% [markdown]
# ## Before anything is fetched
# `inspect` reads small files alone: the family, the size, the memory that it takes. It takes a hub
# id, too.

# %%
found = inspect(MODEL_FOLDER)
print(found.family)

# %% [markdown]
# ## The choices that people make
# ```py3
# VisionChat.from_pretrained("Qwen/Qwen2-VL-2B-Instruct", source="modelscope")   # another hub
# VisionChat.from_pretrained("Qwen/Qwen2.5-VL-7B-Instruct", quantization="4bit")  # less VRAM
# VisionChat.from_pretrained("Qwen/Qwen3-VL-8B-Instruct", attention="flash_attention_2")
# VisionChat.from_pretrained("folder", adapter="adapters/menus")                  # LoRA
# VisionChat.connect("http://127.0.0.1:8000/v1")                                  # a server
# ```
# More: [Loading](../guide/loading.md), [Inspecting checkpoints](../guide/inspecting.md).

# %%
reply = chat.ask("What is in this image?", "pictures/shapes.png")
print(reply.text)
