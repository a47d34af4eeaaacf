# %% [markdown]
# # Translate the text in a picture
# Each printed text beside its translation, with confidences.
#
# ![A menu](pictures/menu.png)

# %%
from qwenvl_kit import VisionChat
from qwenvl_kit.tasks import translate_text_in_image

chat = VisionChat.from_pretrained()
translation = translate_text_in_image(chat, "pictures/menu.png", "English")
for pair in translation.pairs:
    print(f"{pair.source} -> {pair.target} ({pair.target_confidence:.2f})")

# %%
translation

# %% [markdown]
# The prompt can be asked in Chinese (`language="zh"`), and the target is any language that the
# checkpoint knows: `translate_text_in_image(chat, "menu.jpg", "Chinese")`.

# %%
print(chat.ask("What is Fromage in English?", "pictures/menu.png"))
