"""A video that is longer than the model's context: `python examples/long_video.py [VIDEO]`.

Sums up a film in windows, yours or one that is drawn here: four minutes of a circle that goes
round the picture. The model is the small one that is part of the package. It has a context of
2,048 tokens, so that minutes are long for it; it knows drawn shapes and which way they move. What
it makes of its answers when it is asked to merge them is nonsense, since it never learnt to read
text outside pictures: a larger model does that.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import PIL.Image
import PIL.ImageDraw

from qwenvl_kit import Sampling, VideoPart, VisionChat
from qwenvl_kit.errors import QwenVLKitError
from qwenvl_kit.tasks import VideoSummary, summarize_video

SIDE_PX, RADIUS_PX = 192, 26
CORNERS = [(40, 40), (152, 40), (152, 152), (40, 152)]
LEG_SECONDS, NUM_LEGS = 30, 8


def place(seconds: float) -> tuple[float, float]:
    """Where the circle is: right, down, left and up, half a minute each, twice."""
    leg, share = divmod(seconds / LEG_SECONDS, 1)
    (x, y), (to_x, to_y) = CORNERS[int(leg) % 4], CORNERS[(int(leg) + 1) % 4]
    return x + (to_x - x) * share, y + (to_y - y) * share


def draw(seconds: float) -> PIL.Image.Image:
    picture = PIL.Image.new("RGB", (SIDE_PX, SIDE_PX), "white")
    x, y = place(seconds)
    box = (x - RADIUS_PX, y - RADIUS_PX, x + RADIUS_PX, y + RADIUS_PX)
    PIL.ImageDraw.Draw(picture).ellipse(box, fill=(200, 30, 30))
    return picture


def make_film(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=1)
        stream.width = stream.height = SIDE_PX
        stream.pix_fmt = "yuv420p"
        for seconds in range(LEG_SECONDS * NUM_LEGS + 1):
            container.mux(stream.encode(av.VideoFrame.from_image(draw(seconds))))
        container.mux(stream.encode())
    return path


def show(summary: VideoSummary, seconds: float) -> None:
    for segment in summary.segments:
        confidence = "unknown" if segment.confidence is None else f"{segment.confidence:.2f}"
        print(f"  {segment}  (confidence {confidence})")
    usage = summary.usage
    print(
        f"  {len(summary.segments)} windows, {len(summary.merges)} merges, {usage.prompt_tokens} "
        f"tokens in, {usage.completion_tokens} out, {seconds:.1f} s"
    )
    for warning in summary.warnings:
        print(f"  warning: {warning}")


def main(film: Path, journal: Path) -> None:
    chat = VisionChat.from_pretrained()
    question = "What happens in this video?"
    sampling = Sampling(max_new_tokens=32)

    plan = chat.plan(question, VideoPart(film, fps=1), sampling=sampling)
    print(f"At a frame a second: {plan.prompt_tokens} tokens of {plan.context_tokens}")

    for attempt in ("Window by window:", "Once more, from the journal:"):
        print(f"\n{attempt}")
        started = time.perf_counter()
        summary = summarize_video(
            chat,
            film,
            question,
            fps=0.2,
            window_seconds=LEG_SECONDS,
            sampling=sampling,
            journal=journal,
            window_prompt="{question}",  # it was trained on questions as short as this one
        )
        show(summary, time.perf_counter() - started)
    print(f"\nMerged, which this model cannot do: {summary}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        try:
            given = Path(sys.argv[1]) if len(sys.argv) > 1 else None
            main(given or make_film(Path(folder, "film.mp4")), Path(folder, "summary.jsonl"))
        except QwenVLKitError as error:
            sys.exit(f"{type(error).__name__}: {error}")
