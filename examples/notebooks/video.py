# %% [markdown]
# # Ask about a film
# Frames are chosen by their times, before any is decoded; the plan says which.

# %%
from qwenvl_kit import VideoPart, VisionChat
from qwenvl_kit.tasks import ask_video

chat = VisionChat.from_pretrained()
clip = VideoPart("pictures/film.mp4", num_frames=6, start_seconds=0, end_seconds=9)
plan = chat.plan("What happens in this video?", clip)
print([round(seconds, 1) for seconds in plan.videos[0].timestamps_seconds], plan.visual_tokens)

# %% [markdown]
# Frames can be looked at as the model will see them:

# %%
import av
import PIL.Image

with av.open("pictures/film.mp4") as container:
    frames = [frame.to_image() for frame in container.decode(video=0)]
strip = PIL.Image.new("RGB", (480, 80))
for place in range(6):
    strip.paste(frames[place * 3].resize((80, 80)), (place * 80, 0))
strip

# %%
print(chat.ask("What happens in this video?", clip))

# %%
for start in (0, 10, 20):
    answer = ask_video(
        chat,
        "pictures/film.mp4",
        "What happens in this video?",
        num_frames=6,
        start_seconds=start,
        end_seconds=start + 9,
    )
    print(f"from second {start}: {answer}")
