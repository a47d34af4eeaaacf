# %% [markdown]
# # Compare pictures
# As text, by aspects, or as a list of differences with a confidence each.
#
# ![Before](pictures/before.png) ![After](pictures/after.png)

# %%
from qwenvl_kit import VisionChat
from qwenvl_kit.tasks import compare, compare_by_aspects, find_differences

chat = VisionChat.from_pretrained()
print(compare(chat, "pictures/before.png", "pictures/after.png"))

# %% [markdown]
# By aspects, each a question of its own about pictures that are encoded once. (The small model was
# trained on the question above alone, so its confidence here is what to look at.)

# %%
aspects = compare_by_aspects(
    chat, "pictures/before.png", "pictures/after.png", aspects=["shapes", "colours"]
)
for aspect, answer in aspects.items():
    print(f"{aspect}: {answer.text} ({answer.confidence:.2f})")

# %% [markdown]
# As a list. A script plays a larger model:

# %%
from qwenvl_kit.backends.scripted import ScriptedBackend

script = ['{"differences": ["The yellow circle became a yellow square."]}']
with VisionChat(ScriptedBackend(script, family="qwen3_vl")) as scripted:
    for difference in find_differences(scripted, "pictures/before.png", "pictures/after.png"):
        print(difference.text)
