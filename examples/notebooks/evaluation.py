# %% [markdown]
# # Evaluate: how good, and how sure is that
# A benchmark of your own: questions, answers, a rule; a score with its interval.

# %%
import json
import random
from pathlib import Path

import PIL.Image
import PIL.ImageDraw

from qwenvl_kit import PixelBudget, VisionChat
from qwenvl_kit.evaluation import Benchmark, compare_runs, evaluate

folder = Path("questions")
folder.mkdir(exist_ok=True)
rows = []
for number in range(24):
    dice = random.Random(number)
    colours = dice.sample(["red", "blue", "green", "yellow", "black"], dice.randint(1, 4))
    picture = PIL.Image.new("RGB", (320, 240), "white")
    for place, colour in enumerate(colours):
        x, y = 45 + 75 * place, dice.randint(40, 200)
        PIL.ImageDraw.Draw(picture).ellipse((x - 24, y - 24, x + 24, y + 24), fill=colour)
    name = f"{number}.png"
    picture.save(folder / name)
    question = "How many shapes are there?"
    rows.append({"question": question, "image": name, "answer": str(len(colours))})
(folder / "questions.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
benchmark = Benchmark(folder / "questions.jsonl", scorer="contains", name="counting")

# %%
chat = VisionChat.from_pretrained()
result = evaluate(chat, benchmark, progress=False)
low, high = result.interval
print(f"{result.score:.2f}, 95% interval {low:.2f} to {high:.2f}")
picture

# %% [markdown]
# ## The price of fewer visual tokens, question by question

# %%
small = evaluate(chat, benchmark, budget=PixelBudget(max_tokens=4), progress=False)
print(compare_runs(small, result))
