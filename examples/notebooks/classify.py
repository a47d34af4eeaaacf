# %% [markdown]
# # Classify, choose, yes or no, numbers
# The model's probability of each label, normalised over your labels: no text is parsed.
#
# ![A receipt](pictures/receipt.png)

# %%
from qwenvl_kit import VisionChat
from qwenvl_kit.tasks import ask_choice, ask_number, ask_yes_no, classify

chat = VisionChat.from_pretrained()
found = classify(chat, "pictures/receipt.png", ["receipt", "menu", "sign", "letter"])
print(found.label)
for label, probability in found.probabilities.items():
    print(f"  {label:8} {probability:.3f}")

# %% [markdown]
# In a notebook it shows itself as bars:

# %%
found

# %%
chosen = ask_choice(
    chat, "What colour is the circle?", ["red", "green", "blue"], "pictures/shapes.png"
)
print(chosen.label, f"{chosen.probabilities[chosen.label]:.2f}")

# %%
answer = ask_yes_no(chat, "Is there a circle?", "pictures/shapes.png")
print(f"probability of yes: {answer.probability:.2f}")

# %%
number = ask_number(chat, "How many shapes are there?", "pictures/shapes.png", whole=True)
print(number.value, f"{number.confidence:.2f}")
