# %% [markdown]
# # Budgets: what a picture costs
# The plan of a request is known before anything runs: tokens, sizes, memory. A budget is in visual
# tokens, so that it costs the same in every family.

# %%
import PIL.Image

from qwenvl_kit import ImagePart, PixelBudget, VisionChat

chat = VisionChat.from_pretrained()
photo = PIL.Image.new("RGB", (4032, 3024), "white")
for budget in ("native", "quick", "standard", "fine"):
    plan = chat.plan("What is this?", photo, budget=budget)
    print(f"{budget:10} {plan.visual_tokens:5} tokens, seen at {plan.images[0].resized}")

# %%
import PIL.ImageDraw

sizes = PIL.Image.new("RGB", (400, 300), "white")
pen = PIL.ImageDraw.Draw(sizes)
for budget, colour in (("fine", "#cfe3ff"), ("standard", "#8fb8f5"), ("quick", "#3f6fd0")):
    size = chat.plan("What is this?", photo, budget=budget).images[0].resized
    pen.rectangle((0, 0, size.width_px // 4, size.height_px // 4), fill=colour)
    pen.text((6, size.height_px // 4 - 24), budget, fill="black", font_size=16)
sizes

# %% [markdown]
# Each picture may have a budget of its own, and `total_tokens` is shared by all:

# %%
parts = [ImagePart(photo, budget=PixelBudget(max_tokens=64)), photo]
print([image.tokens for image in chat.plan("Compare.", *parts).images])
shared = chat.plan("Compare.", photo, photo, photo, budget=PixelBudget(total_tokens=120))
print([image.tokens for image in shared.images])

# %% [markdown]
# ## A request that is too long
# It is an error with its figures, before anything runs; or it shrinks, and says what was given up.

# %%
from qwenvl_kit.errors import ContextLengthError

pictures = [photo] * 80
try:
    chat.ask("Compare.", *pictures)
except ContextLengthError as error:
    print(error)

# %%
plan = chat.plan("Compare.", *pictures, fit="shrink")
print(plan.fits, plan.prompt_tokens, "of", plan.context_tokens)
for sentence in plan.degradations[:2]:
    print("-", sentence)
