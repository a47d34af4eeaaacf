# %% [markdown]
# # Watch a camera or a stream
# The same question again and again about the last seconds. A file plays here, ten times as fast as
# it was made; a number is a camera, a `StreamSource` a camera in the network.

# %%
from qwenvl_kit import Sampling, VisionChat
from qwenvl_kit.live import FileSource

chat = VisionChat.from_pretrained()
source = FileSource("pictures/film.mp4", speed=5)
answers = []
with chat.watch(
    source,
    "What happens in this video?",
    every_seconds=10,
    max_frames=6,
    sampling=Sampling(max_new_tokens=32),
) as watch:
    for event in watch:
        answers.append(event.reply.text.strip())
for answer in dict.fromkeys(answers):
    print(answer)

# %% [markdown]
# A model that is too slow skips questions and counts them (`event.num_skipped`), so that it is
# never late by more than one answer. More: [Live](../guide/live.md).

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
