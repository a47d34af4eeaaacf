# %% [markdown]
# # Judge a description
# Is each sentence true of the picture? By the model's own probability of "yes". The small model
# judges statements little better than chance, as its card says: with a larger one the same code is
# of use.
#
# ![A red circle and a blue square](pictures/shapes.png)

# %%
from qwenvl_kit import VisionChat
from qwenvl_kit.tasks import judge_description

chat = VisionChat.from_pretrained()
judged = judge_description(
    chat, "pictures/shapes.png", "There is a red circle. There is a green triangle."
)
for claim in judged.claims:
    print(f"{claim.probability:.2f} {claim.text}")
print(f"accuracy {judged.accuracy:.2f}, richness {judged.richness:.2f}")
