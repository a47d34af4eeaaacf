# %% [markdown]
# # Question a long document
# Pages are found by words, without a second model; the answer cites its page and its place.
#
# Forty receipts in a PDF:

# %%
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from qwenvl_kit import DocumentPart, VisionChat
from qwenvl_kit.display.pictures import Shown, sheet
from qwenvl_kit.documents import Block, Document, Page
from qwenvl_kit.tasks import DocumentIndex, answer_from_document, read_text

font = ImageFont.load_default(28)
pages = []
for number in range(40):
    page = Image.new("RGB", (320, 200), "#f9f9f4")
    date, tax = f"2024-{1 + number % 12:02}-{1 + number % 28:02}", f"{4 + number % 5}.{number + 10}"
    lines = ["RECEIPT", f"Date: {date}", f"Tax: {tax}", f"Total: {60 + number}.50"]
    ImageDraw.Draw(page).multiline_text((24, 20), "\n".join(lines), "#222222", font, spacing=12)
    pages.append(page)
Path("long").mkdir(exist_ok=True)
pages[0].save("long/receipts.pdf", save_all=True, append_images=pages[1:])
sheet([Shown(page, f"page {number}") for number, page in enumerate(pages[:8], 1)])

# %% [markdown]
# ## Read once, and keep
# With Qwen's checkpoints `parse_document` does this. The embedded model reads plain text.

# %%
chat = VisionChat.from_pretrained()
read = []
for number in range(1, 41):
    text = read_text(chat, DocumentPart("long/receipts.pdf", pages=(number,)))
    size = text.reply.plan.images[0].original
    read.append(Page(number, size, (Block("text", str(text), page=number),)))
index = DocumentIndex(Document(tuple(read), name="receipts.pdf"))
for page in index.rank("Which receipt is of 2024-03-15?")[:3]:
    print(page)

# %% [markdown]
# ## Ask
# The best page is shown to the model, and the answer is located on it. `search` has the words to
# search for, so that the question is one that the embedded model knows.

# %%
question = "What is the total?"
answer = answer_from_document(
    chat, "long/receipts.pdf", question, index=index, search="2024-03-15", max_pages=1
)
print(answer, "on page", answer.page, answer.box)

# %%
answer

# %% [markdown]
# ## Captions in place of the text
# A caption a page costs less than reading all of it; a journal keeps them. The embedded model
# writes none, so a script does.

# %%
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.tasks import caption_pages

captions = [f"A receipt from {shop}." for shop in ("a bakery", "a bookshop", "a florist")]
scripted = VisionChat(ScriptedBackend(captions))
document = caption_pages(scripted, pages[:3], journal="long/captions.jsonl")
DocumentIndex(document).rank("Which one is the florist's?")
