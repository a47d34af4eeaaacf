# %% [markdown]
# # Sampling, seeds and streaming
# A `Sampling` that you build is greedy unless it has a temperature. A seed repeats an answer, alone
# or in a batch. (The temperature is so high because the small model is so sure.)
#
# ![A red circle and a blue square](pictures/shapes.png)

# %%
from qwenvl_kit import Sampling, VisionChat

chat = VisionChat.from_pretrained()
question, picture = "Describe this image.", "pictures/shapes.png"
print("greedy:     ", chat.ask(question, picture, sampling=Sampling(max_new_tokens=40)))
for seed in (1, 2, 1):
    warm = Sampling(max_new_tokens=40, temperature=3.0, top_k=20, seed=seed)
    print(f"with seed {seed}:", chat.ask(question, picture, sampling=warm))

# %% [markdown]
# ## Several samples
# `num_samples` asks again, and `agreement` is the share that says the same.

# %%
warm = Sampling(max_new_tokens=40, temperature=1.0, seed=3)
reply = chat.ask("How many shapes are there?", picture, sampling=warm, num_samples=5)
print(reply.text, reply.samples, reply.agreement)

# %% [markdown]
# ## A stream
# Text comes as it is written; the whole reply is there at its end.

# %%
with chat.stream("Read all the text in this image.", "pictures/receipt.png") as stream:
    for delta in stream:
        print(delta.text, end="|")
print("\n", stream.reply.finish_reason, stream.reply.usage.completion_tokens)
