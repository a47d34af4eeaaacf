# %% [markdown]
# # Batch inference with a journal
# Many requests in one call, in order; the one that fails costs itself alone, and a run that was
# interrupted goes on.
#
# ![A triangle and a circle](pictures/before.png)

# %%
from pathlib import Path

from qwenvl_kit import Failure, Request, VisionChat

chat = VisionChat.from_pretrained()
names = ["shapes", "before", "missing", "after"]
requests = [
    Request.about("Describe this image.", f"pictures/{name}.png", id=name) for name in names
]
results = chat.ask_many(requests, journal="run.jsonl")
for result in results:
    if isinstance(result, Failure):
        print(f"{result.request_id}: {type(result.error).__name__}")
    else:
        print(f"{result.request_id}: {result.text} ({result.confidence:.2f})")

# %% [markdown]
# Called again, it asks what failed and nothing else:

# %%
before = chat.stats().num_replies
again = chat.ask_many(requests, journal="run.jsonl")
print("asked again and answered:", chat.stats().num_replies - before)
print([str(new) == str(old) for new, old in zip(again, results) if not isinstance(new, Failure)])
Path("run.jsonl").unlink()
