# %% [markdown]
# # A film that is longer than the context
# `summarize_video` cuts it into windows, asks about each, and merges the answers. The small model
# knows which way a shape moves; merging texts it never learned, so look at its windows.

# %%
from qwenvl_kit import Sampling, VisionChat
from qwenvl_kit.tasks import summarize_video

chat = VisionChat.from_pretrained()
summary = summarize_video(
    chat,
    "pictures/film.mp4",
    "What happens in this video?",
    fps=0.6,
    window_seconds=10,
    sampling=Sampling(max_new_tokens=32),
    window_prompt="{question}",  # it was trained on questions as short as this one
)
for segment in summary.segments:
    print(f"{segment.span}  {segment.text.strip()}  ({segment.confidence:.2f})")

# %%
print(len(summary.segments), "windows,", summary.usage.prompt_tokens, "tokens in")

# %% [markdown]
# ## The film
# A red circle goes right, down and left, ten seconds each.

# %%
import av
import PIL.Image

with av.open("pictures/film.mp4") as container:
    frames = [frame.to_image().resize((80, 80)) for frame in container.decode(video=0)]
strip = PIL.Image.new("RGB", (480, 80))
for place, frame in enumerate(frames[::10]):
    strip.paste(frame, (place * 80, 0))
strip
