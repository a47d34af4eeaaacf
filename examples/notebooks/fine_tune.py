# %% [markdown]
# # Fine-tune in small (LoRA)
# Three colours get secret names, and the model learns them in some seconds on a processor.

# %%
import tempfile
from pathlib import Path

import PIL.Image

from qwenvl_kit import ImagePart, Message, Sampling, VisionChat
from qwenvl_kit.embedded import MODEL_FOLDER
from qwenvl_kit.training import Example, LoRA, check_examples, fine_tune

NAMES = {"red": "zorb", "blue": "mip", "green": "quat"}
QUESTION = "What is the secret name of this colour?"


def question(colour, width_px):
    """Ask for the name of a colour."""
    return Message.user(ImagePart(PIL.Image.new("RGB", (width_px, 84), colour)), QUESTION)


examples = [
    Example((question(colour, width_px), Message.assistant(name)))
    for colour, name in NAMES.items()
    for width_px in (84, 112)
]
palette = PIL.Image.new("RGB", (240, 80))
for place, colour in enumerate(NAMES):
    palette.paste(colour, (place * 80, 0, place * 80 + 80, 80))
palette

# %%
report = check_examples(MODEL_FOLDER, examples)
print(report.num_examples, "examples; tokens in the loss:", report.trained_tokens)

# %%
folder = Path(tempfile.mkdtemp())
run = fine_tune(
    MODEL_FOLDER,
    examples,
    folder / "run",
    method=LoRA(rank=16, alpha=32, parts=("language", "projector")),
    learning_rate=4e-3,
    epochs=24,
    tokens_per_batch=512,
)

# %% [markdown]
# ## Before and after

# %%
sampling = Sampling(max_new_tokens=8)
for adapter in (None, run.adapter):
    with VisionChat.from_pretrained(MODEL_FOLDER, adapter=adapter) as chat:
        answers = {
            colour: chat.ask([question(colour, 98)], sampling=sampling).text for colour in NAMES
        }
    print("with the adapter:" if adapter else "before:", answers)
