# %% [markdown]
# # Screenshot to code
# `to_code` finds the code in the answer, checks its form, and never runs it. The small model writes
# no code: a script plays the writer, with one mistake in its page.
#
# ![A red circle and a blue square](pictures/shapes.png)

# %%
from qwenvl_kit import VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.tasks import code_of, render_and_compare, to_code

PAGE = """Here is the page:
```html
<!DOCTYPE html>
<style>
body { margin: 0; background: #f6f6fa; }
div { position: absolute; }
#circle { left: 44px; top: 79px; width: 92px; height: 92px; background: #d62728; }
#circle { border-radius: 50%; }
#square { left: 193px; top: 73px; width: 84px; height: 84px; background: #1f5ac8; }
</style>
<div id="circle"></div>
<div id="square">
```"""
chat = VisionChat(ScriptedBackend([PAGE]))
code = to_code(chat, "pictures/shapes.png", "html")
code.fits, code.warnings

# %% [markdown]
# A browser closes the element by itself. Drawn by a browser of this machine, beside the screenshot;
# the page reaches neither files nor the network, and its scripts do not run:

# %%
comparison = render_and_compare(code, "pictures/shapes.png")
comparison.picture

# %% [markdown]
# The structural similarity, beside that of an empty page:

# %%
print(f"{comparison.similarity:.2f}, an empty page {comparison.blank_similarity:.2f}")

# %% [markdown]
# The reply of a stream or a batch is read in the same way:

# %%
print(code_of(code.reply, "html").text == code.text)
