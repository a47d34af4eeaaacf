"""What strangers' files reach: pictures, videos, documents, checkpoints, journals, rows."""

from __future__ import annotations

import functools
import io
import json
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import PIL.Image

from qwenvl_kit import MediaPolicy
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.budget.planning import plan_media
from qwenvl_kit.calibration import Calibrator
from qwenvl_kit.checkpoints.inspection import inspect
from qwenvl_kit.embedded import MODEL_FOLDER
from qwenvl_kit.errors import QwenVLKitError
from qwenvl_kit.journal import Journal
from qwenvl_kit.media.images import decode_image, read_header
from qwenvl_kit.media.loader import decode_media, open_media
from qwenvl_kit.media.pages import read_pages
from qwenvl_kit.messages.message import Message, VideoPart
from qwenvl_kit.options import PixelBudget
from qwenvl_kit.training import Example, read_examples
from tests.fuzzing.targets import Fuzzed
from tests.hostile.films import h264, muxed
from tests.videos import write_video

POLICY = MediaPolicy(
    max_pixels=2**20, max_frames=64, max_pages=3, isolate_video=False, isolate_images=False
)
BUDGET = PixelBudget(4, 16)
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "ICO", "JPEG2000", "AVIF")
FILMS = ("mp4", "webm", "avi", "mpegts", "gif", "flv")
CODECS = {"webm": "libvpx", "avi": "mpeg4", "mpegts": "mpeg2video", "flv": "flv", "gif": "gif"}


def _picture(content: bytes) -> None:
    header = read_header(content, POLICY)
    image = decode_image(content, POLICY)
    assert image.mode == "RGB"
    assert (image.width, image.height) == (header.size.width_px, header.size.height_px)


def _video(content: bytes) -> None:
    messages = [Message.user(VideoPart(content, num_frames=2), "What happens?")]
    (item,) = open_media(messages, POLICY).items
    (plan,) = plan_media([item.measure], BUDGET, _rules())
    (decoded,) = decode_media([replace(item, plan=plan)], POLICY)
    assert len(decoded.content) == len(plan.frame_indices)  # type: ignore[union-attr]


@functools.cache
def _rules() -> Any:
    return ScriptedBackend([]).rules


def _document(content: bytes) -> None:
    for page in read_pages(content, POLICY, dpi=20):
        assert page.image.mode == "RGB"


def _journal(content: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        with Journal.open(file.name, kind="test", settings={"a": 1}) as journal:
            for key in ("one", "two"):
                journal.get(key)


def _training(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("train.jsonl", "train.json"):
            path = Path(folder) / name
            path.write_bytes(content)
            for outcome in read_examples(path).outcomes():
                assert isinstance(outcome, (Example, QwenVLKitError))
                assert str(path) in outcome.where or str(path) in str(outcome)


def _calibration(content: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        found = Calibrator.load(file.name)._calibrated  # what every confidence goes through
    import numpy

    shares = found(numpy.array([0.0, 0.3, 1.0]))
    assert ((shares >= 0) & (shares <= 1)).all()


def _checkpoint(name: str) -> Callable[[bytes], None]:
    def run(content: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for kept in MODEL_FOLDER.glob("*.json"):
                (Path(folder) / kept.name).symlink_to(kept)
            weights = Path(folder) / "model.safetensors"
            if "index" not in name:  # which counts where there is no single file
                weights.symlink_to(MODEL_FOLDER / "model.safetensors")
            (Path(folder) / name).unlink(missing_ok=True)
            (Path(folder) / name).write_bytes(content)
            str(inspect(folder))

    return run


def _pictures() -> tuple[bytes, ...]:
    made = []
    for format_name in FORMATS:
        for mode in ("RGB", "L", "P", "RGBA"):
            buffer = io.BytesIO()
            try:
                PIL.Image.new(mode, (12, 9), 1).save(buffer, format_name)
            except (OSError, KeyError, ValueError):
                continue
            made.append(buffer.getvalue())
    animated = [PIL.Image.new("RGB", (12, 9), (shade, 0, 0)) for shade in (0, 90, 200)]
    for format_name in ("GIF", "WEBP", "PNG", "TIFF"):
        buffer = io.BytesIO()
        animated[0].save(buffer, format_name, save_all=True, append_images=animated[1:])
        made.append(buffer.getvalue())
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    for format_name in ("JPEG", "PNG", "WEBP", "TIFF"):
        buffer = io.BytesIO()
        animated[1].save(buffer, format_name, exif=exif)
        made.append(buffer.getvalue())
    return tuple(made)


def _tiled() -> tuple[bytes, ...]:
    """TIFFs of 32 x 32 pixels in four tiles, in both orders of bytes, packed in two ways."""
    made = []
    for order in ("<", ">"):
        for packing, tile in ((1, bytes(256)), (8, zlib.compress(bytes(256)))):
            sides = [(256, 4, 1, 32), (257, 4, 1, 32), (322, 4, 1, 16), (323, 4, 1, 16)]
            facts = [(258, 3, 1, 8), (259, 3, 1, packing), (262, 3, 1, 1), (277, 3, 1, 1)]
            end = 8 + 2 + 12 * 10 + 4  # behind the directory
            lists = [(324, 4, 4, end), (325, 4, 4, end + 16)]
            packed = struct.pack(f"{order}H", 10)
            for tag, kind, count, value in sorted([*sides, *facts, *lists]):
                form = "HHIHH" if kind == 3 else "HHII"
                packed += struct.pack(f"{order}{form}", tag, kind, count, *(
                    (value, 0) if kind == 3 else (value,)
                ))  # fmt: skip
            places = [end + 32 + at * len(tile) for at in range(4)]
            tables = struct.pack(f"{order}8I", *places, *[len(tile)] * 4)
            head = b"II*\0\x08\0\0\0" if order == "<" else b"MM\0*\0\0\0\x08"
            made.append(head + packed + bytes(4) + tables + tile * 4)
    return tuple(made)


def _avifs() -> tuple[bytes, ...]:
    made = []
    for mode, options in (
        ("RGB", {}),
        ("RGBA", {"subsampling": "4:4:4"}),
        ("L", {"tile_rows": 1}),
        ("RGB", {"save_all": True, "append_images": [PIL.Image.new("RGB", (16, 12), 9)]}),
    ):
        buffer = io.BytesIO()
        image = PIL.Image.new(mode, (16, 12), 1)
        image.save(buffer, "AVIF", speed=10, **options)  # type: ignore[arg-type]
        made.append(buffer.getvalue())
    return tuple(made)


def _growing_films() -> tuple[bytes, ...]:
    """H.264 whose frames grow in the middle, in every container."""
    frames = h264(32, 3) + h264(96, 2)
    return tuple(muxed(frames, name) for name in ("mp4", "mpegts", "matroska", "avi"))


def _films() -> tuple[bytes, ...]:
    made = []
    with tempfile.TemporaryDirectory() as folder:
        for container in FILMS:
            path = Path(folder) / f"film.{container}"
            codec = CODECS.get(container, "mpeg4")
            pixels = "rgb8" if codec == "gif" else "yuv420p"
            write_video(
                path, 6, width=32, height=32, codec=codec, pixel_format=pixels,
                container_format=container,
            )  # fmt: skip
            made.append(path.read_bytes())
    return tuple(made)


def _documents() -> tuple[bytes, ...]:
    pages = [PIL.Image.new("RGB", (20, 30), (shade, 0, 0)) for shade in (0, 200)]
    buffer = io.BytesIO()
    pages[0].save(buffer, "PDF", save_all=True, append_images=pages[1:])
    plain = (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Count 1"
        b"/Kids[3 0 R]/MediaBox[0 0 99 99]>>endobj 3 0 obj<</Type/Page/Parent 2 0 R/Contents 4 0 R"
        b"/Resources<<>>>>endobj 4 0 obj<</Length 26>>stream\n0 0 1 rg 10 10 50 50 re f\n"
        b"endstream endobj trailer<</Root 1 0 R>>"
    )
    return buffer.getvalue(), plain


def _journals() -> tuple[bytes, ...]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.jsonl"
        with Journal.open(path, kind="test", settings={"a": 1}) as journal:
            journal.add_all({"one": {"text": "a"}, "two": {"numbers": [1, 2.5, None]}})
        return (path.read_bytes(),)


def _rows() -> tuple[bytes, ...]:
    rows: list[dict[str, Any]] = [
        {"query": "<image>q", "response": "a", "images": ["a.png"], "history": [["b", "c"]]},
        {
            "messages": [
                {"role": "user", "content": "<image>Where is <ref-object>?"},
                {"role": "tool_call", "content": '{"name": "f", "arguments": {"x": 1}}'},
                {"role": "tool_response", "content": "1"},
                {"role": "assistant", "content": "<think>hm</think>at <bbox>", "loss": True},
            ],
            "images": ["a.png"],
            "objects": {"ref": ["it"], "bbox": [[1, 2, 3, 4.5]], "bbox_type": "real"},
            "tools": '[{"name": "f", "parameters": {}}]',
        },
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
    ]
    return ("\n".join(map(json.dumps, rows)).encode(), json.dumps(rows, indent=1).encode())


def _files(name: str) -> tuple[bytes, ...]:
    return ((MODEL_FOLDER / name).read_bytes(),)


def _indexes() -> tuple[bytes, ...]:
    index = {"metadata": {}, "weight_map": {"a": "b/1.safetensors", "b": "2.safetensors"}}
    return (json.dumps(index).encode(),)


def _weights() -> tuple[bytes, ...]:
    header = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    text = json.dumps(header).encode()
    return (len(text).to_bytes(8, "little") + text + bytes(8),)


FILE_TARGETS = {
    "pictures": Fuzzed(_picture, _pictures()),
    "videos": Fuzzed(_video, _films(), share=0.1),
    "tiles": Fuzzed(_picture, _tiled(), share=0.5),
    "AVIF": Fuzzed(_picture, _avifs(), share=0.3),
    "growing films": Fuzzed(_video, _growing_films(), share=0.05),
    "documents": Fuzzed(_document, _documents(), share=0.3),
    "journals": Fuzzed(_journal, _journals(), share=0.5),
    "training files": Fuzzed(_training, _rows(), share=0.5),
    "calibrations": Fuzzed(_calibration, _files("calibration.json"), share=0.3),
    "configurations": Fuzzed(_checkpoint("config.json"), _files("config.json"), share=0.2),
    "processors": Fuzzed(
        _checkpoint("processor_config.json"), _files("processor_config.json"), share=0.2
    ),
    "tokenizer settings": Fuzzed(
        _checkpoint("tokenizer_config.json"), _files("tokenizer_config.json"), share=0.2
    ),
    "indexes": Fuzzed(_checkpoint("model.safetensors.index.json"), _indexes(), share=0.2),
    "weights": Fuzzed(_checkpoint("model.safetensors"), _weights(), share=0.2),
}
