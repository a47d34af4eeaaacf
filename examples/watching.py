"""Questions about what is going on, asked again and again: `python examples/watching.py [SOURCE]`.

SOURCE is a video file or the number of a camera. Without one, a film that is drawn here plays ten
times as fast as it was made: a circle goes to and fro. The model is the small one that is
part of the package; it knows drawn shapes and which way they move.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import av
import PIL.Image
import PIL.ImageDraw

from qwenvl_kit import Sampling, VisionChat
from qwenvl_kit.errors import QwenVLKitError
from qwenvl_kit.live import CameraSource, FileSource

SIDE_PX, FPS, NUM_SECONDS = 192, 5, 40


def draw(seconds: float) -> PIL.Image.Image:
    """A circle that goes to the right for ten seconds, and back again."""
    x = 40 + 10 * abs((seconds + 10) % 20 - 10)
    picture = PIL.Image.new("RGB", (SIDE_PX, SIDE_PX), "white")
    PIL.ImageDraw.Draw(picture).ellipse((x - 26, 70, x + 26, 122), fill=(30, 60, 200))
    return picture


def make_film(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=FPS)
        stream.width = stream.height = SIDE_PX
        stream.pix_fmt = "yuv420p"
        for index in range(NUM_SECONDS * FPS + 1):
            container.mux(stream.encode(av.VideoFrame.from_image(draw(index / FPS))))
        container.mux(stream.encode())
    return path


def main(source: FileSource | CameraSource) -> None:
    chat = VisionChat.from_pretrained()
    question, sampling = "What happens in this video?", Sampling(max_new_tokens=32)
    with chat.watch(source, question, every_seconds=5, max_frames=6, sampling=sampling) as watch:
        for event in watch:
            shown = f"{event.start_seconds:4.1f} - {event.end_seconds:4.1f} s"
            print(f"{event.ended_at:%H:%M:%S}  {shown}  {event}  ", end="")
            print(f"({event.num_frames} frames, answered {event.delay_seconds:.2f} s later)")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        try:
            given = sys.argv[1] if len(sys.argv) > 1 else None
            if given is not None and given.isdigit():
                main(CameraSource(int(given)))
            elif given is not None:
                main(FileSource(given))
            else:
                main(FileSource(make_film(Path(folder, "film.mp4")), speed=10))
        except QwenVLKitError as error:
            sys.exit(f"{type(error).__name__}: {error}")
