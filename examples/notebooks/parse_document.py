# %% [markdown]
# # Parse a document
# `parse_document` gives the blocks of each page in the order of reading, with their places on the
# original page. The small model cannot write whole pages, so that its part is played from a script
# here.
#
# ![A receipt](pictures/receipt.png)

# %%
from qwenvl_kit import VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.tasks import parse_document, parse_pages

written = """```html
<html><body>
<h1 data-bbox="75 125 441 240">RECEIPT</h1>
<p data-bbox="75 330 850 450">Date: 2024-03-18</p>
<table data-bbox="75 530 590 850"><tr><td>Tax</td><td>4.20</td></tr>
<tr><td>Total</td><td>62.50</td></tr></table>
</body></html>
```"""
chat = VisionChat(ScriptedBackend([written], family="qwen3_vl"))
document = parse_document(chat, "pictures/receipt.png")
for block in document.blocks:
    print(block.kind, block.text.splitlines(), block.box)

# %%
document

# %% [markdown]
# ## Page by page
# `parse_pages` yields pages as they are read and keeps none of them: for documents of any length.

# %%
chat = VisionChat(ScriptedBackend([written], family="qwen3_vl"))
for page in parse_pages(chat, "pictures/receipt.png"):
    print(page.number, page.size, [block.kind for block in page.blocks])

# %% [markdown]
# ## On to other programs
# `to_markdown("folder")` also cuts the pictures out of the page; `to_html`, `to_json` and
# `to_docling` are further forms.

# %%
print(document.to_markdown())

# %%
for passage in document.to_passages():
    print(passage)
