# %% [markdown]
# # Confidence by scores
# Each token has its raw log-probability; the confidence of an answer is their geometric mean,
# calibrated where there is a calibration.

# %%
from qwenvl_kit import Sampling, VisionChat

chat = VisionChat.from_pretrained()
sampling = Sampling(max_new_tokens=16, num_alternatives=3)
reply = chat.ask("What colour is the circle?", "pictures/shapes.png", sampling=sampling)
for token in reply.scores:
    others = ", ".join(repr(other.text) for other in token.alternatives)
    print(f"{token.text!r:14} {token.probability:.3f}   among {others}")
print(f"confidence {reply.confidence:.2f}, raw {reply.raw_confidence:.2f}")

# %% [markdown]
# ## An answer to doubt
# Noise is unlike anything that the model was trained on. It answers all the same; its confidence
# says to doubt it.

# %%
import random

import PIL.Image

dice = random.Random(0)
noise = PIL.Image.frombytes("RGB", (64, 64), dice.randbytes(64 * 64 * 3)).resize(
    (256, 256), PIL.Image.Resampling.NEAREST
)
doubtful = chat.ask("What colour is the circle?", noise, abstain_below=0.6)
print(doubtful.text, f"{doubtful.confidence:.2f}", "abstained:", doubtful.is_abstained)

# %% [markdown]
# The colour of a token is its probability:

# %%
doubtful
