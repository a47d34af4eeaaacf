# %% [markdown]
# # When things happen in a film
# `find_events` gives the events of a film with their seconds, and `subtitles` put what is said at
# its time. The embedded model knows motions and no times, so it says what moves here; the answers
# with times are from a script, in the forms of Qwen3-VL and Qwen2.5-VL.

# %%
from qwenvl_kit import Subtitle, VideoPart, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.tasks import ask_video, find_events, read_chapters, summarize_video

FILM = "pictures/film.mp4"
chat = VisionChat.from_pretrained()
lines = []
for start in (0, 10, 20):
    part = VideoPart(FILM, num_frames=6, start_seconds=start, end_seconds=start + 9)
    lines.append(
        Subtitle(start, start + 9, str(ask_video(chat, part, "What happens in this video?")))
    )
lines

# %% [markdown]
# The question is that of Qwen's cookbook. Times are read whatever their form, clipped to the film,
# and all that was corrected is told:

# %%
events_answer = """```json
[{"start": "00:00.00", "end": "00:09.50", "description": "The circle moves right."},
 {"start_time": "10.0 seconds", "end_time": "19.5 seconds", "description": "It moves down."},
 {"timestamp": "<20.0 seconds> - <45.0 seconds>", "event": "It moves left."}]
```"""
script = [
    events_answer,
    "It turns at <10.0 seconds> and again at 0:20.",
    "The circle goes round.",
    '[{"start": 0, "end": 10, "title": "Right"}, {"start": 10, "end": 29.5, "title": "Back"}]',
]
qwen3 = VisionChat(ScriptedBackend(script, family="qwen3_vl", context_tokens=32_768))
events = find_events(qwen3, FILM, "each move of the circle")
events

# %%
print(events[1].start_seconds, events.at(12), events.warnings, sep="\n")
starts = VideoPart(FILM, timestamps_seconds=[event.start_seconds for event in events])
qwen3.plan("When does it turn?", starts).show()

# %%
print(ask_video(qwen3, FILM, "When does it turn?", fps=1).times)

# %% [markdown]
# A film has its own chapters, or the model is asked for them:

# %%
print(read_chapters(FILM))
print(*summarize_video(qwen3, FILM, chapters=True).chapters, sep="\n")

# %% [markdown]
# Subtitles are a file, `"auto"` for the film's own, or lines: here those of the first cell. They
# take no more tokens than they may, and the plan says what was left out.

# %%
question = "What happens in this video?"
bare = qwen3.plan(question, VideoPart(FILM, fps=1))
told = qwen3.plan(question, VideoPart(FILM, fps=1, subtitles=lines))
short = qwen3.plan(question, VideoPart(FILM, fps=1, subtitles=lines, max_subtitle_tokens=20))
print(bare.prompt_tokens, told.prompt_tokens, short.prompt_tokens, short.warnings)
print(qwen3.plan(question, VideoPart(FILM, fps=1, subtitles="auto")).warnings)
