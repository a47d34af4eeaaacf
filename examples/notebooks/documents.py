# %% [markdown]
# # Question a document (PDF)
# A picture, a list of pages, a PDF or a TIFF: it is drawn once for all questions.
#
# ![The first page](pictures/receipt.png)

# %%
from qwenvl_kit import VisionChat
from qwenvl_kit.tasks import document_qa

chat = VisionChat.from_pretrained()
questions = ["What is the total?", "What is the date?", "What is the tax?"]
answers = document_qa(chat, "pictures/receipt.png", questions)
for question, answer in answers.items():
    print(f"{question} {answer.text} ({answer.confidence:.2f})")

# %% [markdown]
# ## One page of a PDF

# %%
answers = document_qa(chat, "pictures/report.pdf", ["What is the total?"], pages=[1])
for question, answer in answers.items():
    print(question, answer.text)

# %% [markdown]
# ## The cost of all pages, before anything runs

# %%
plan = chat.plan("What is this?", "pictures/report.pdf")
for image in plan.images:
    print(image.where, image.original, image.tokens, "tokens")
