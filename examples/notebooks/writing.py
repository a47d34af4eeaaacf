# %% [markdown]
# # Write from a picture
# `write_from_image` asks for a text of a style and a length. The small model writes no prose: a
# script plays the writer, and the prompt that it got is shown.
#
# ![A red circle and a blue square](pictures/shapes.png)

# %%
from qwenvl_kit import VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.tasks import write_from_image

POEM = "A circle, red as evening light,\nwaits for a square that shines at night."
asked = []


def writer(request):
    """Note the prompt, and answer."""
    asked.append(request.messages[-1].text)
    return POEM


chat = VisionChat(ScriptedBackend(writer))
print(write_from_image(chat, "pictures/shapes.png", style="a poem of two lines", num_words=20))

# %%
print(asked[0])

# %% [markdown]
# ## A length and a form
# `words=` and `form=` are held to: what is too short is continued, and verse that lacks something
# is written again. Here the first answer has two of four lines.

# %%
BEGUN = "床前明月光，疑是地上霜。"
poet = VisionChat(ScriptedBackend([BEGUN, f"{BEGUN}\n举头望明月，低头思故乡。"]))
poem = write_from_image(poet, "pictures/shapes.png", form="五言绝句", language="zh")
print(poem)
poem.fits, poem.attempts, poem.lines
