"""The video reader of the kit as a backend of qwen-vl-utils, for those who use that on its own.

    from qwenvl_kit.integrations.qwen_vl_utils import register_reader

    register_reader()
    images, videos, kwargs = process_vision_info(messages, return_video_kwargs=True)

It picks the same frames as the readers of qwen-vl-utils. It resizes each frame as it is decoded,
and does not hold all of them at their full size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from qwen_vl_utils import vision_process
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import pil_to_tensor, resize

from qwenvl_kit.budget.frames import frame_rate
from qwenvl_kit.geometry import Size
from qwenvl_kit.media.policy import DEFAULT_POLICY, MediaPolicy
from qwenvl_kit.media.video_files import decode_file, measure_file
from qwenvl_kit.plans import VideoPlan

if TYPE_CHECKING:
    import PIL.Image

READER_NAME = "qwenvl_kit"


def register_reader(*, image_patch_size: int = 14, policy: MediaPolicy | None = None) -> None:
    """Make qwen-vl-utils read video files with this package from now on.

    Args:
        image_patch_size: the same value as for `process_vision_info`: 14 px for Qwen2-VL and
            Qwen2.5-VL, 16 px for Qwen3-VL and Qwen3.5.
        policy: the sources that may be opened; None takes the default policy.
    """
    chosen = policy or DEFAULT_POLICY
    vision_process.VIDEO_READER_BACKENDS[READER_NAME] = lambda ele: read_video(
        ele, image_patch_size=image_patch_size, policy=chosen
    )
    vision_process.FORCE_QWENVL_VIDEO_READER = READER_NAME
    vision_process.get_video_reader_backend.cache_clear()


def read_video(
    ele: Mapping[str, Any], *, image_patch_size: int, policy: MediaPolicy
) -> tuple[torch.Tensor, dict[str, Any], float]:
    """Read the frames of a video in the form of the readers of qwen-vl-utils.

    Args:
        ele: the dict of the video: `video`, and `fps`, `nframes`, `video_start`, `max_pixels`, ...
        image_patch_size: side of a patch in pixels.
        policy: the sources that may be opened.

    Returns:
        The frames as uint8 (frames, 3, height, width) at their final size; a dict with facts of the
        file; and the frames per second of the sample.

    Raises:
        MediaError: the file cannot be read.
        ValueError: qwen-vl-utils refuses the times or the number of frames.
    """
    film = measure_file(ele["video"], policy, ele.get("video_end"))
    num_frames, fps = len(film.times_seconds), frame_rate(film.times_seconds)
    first, last, inside = vision_process.calculate_video_frame_range(ele, num_frames, fps)
    count = vision_process.smart_nframes(ele, total_frames=inside, video_fps=fps)
    indices = torch.linspace(first, last, count).round().long().tolist()
    plan = VideoPlan(
        where="video",
        original=film.size,
        resized=_final_size(ele, film.size, count, image_patch_size),
        frame_indices=tuple(indices),
        timestamps_seconds=tuple(film.times_seconds[index] for index in indices),
        tokens=0,
    )
    frames = torch.from_numpy(decode_file(ele["video"], plan, policy, _resize))
    facts = {
        "fps": fps,
        "frames_indices": indices,
        "total_num_frames": inside,
        "video_backend": READER_NAME,
    }
    return frames.permute(0, 3, 1, 2), facts, count / max(inside, 1e-6) * fps


def _final_size(ele: Mapping[str, Any], size: Size, num_frames: int, image_patch_size: int) -> Size:
    """The size to which `fetch_video` will resize, by its own rule.

    `fetch_video` does not tell its readers that size, and computes it again from the frames that it
    receives. If the second result would differ, which can happen when the limits are close
    together, the frames keep their size.
    """
    final = _asked_size(ele, size, num_frames, image_patch_size)
    return final if _asked_size(ele, final, num_frames, image_patch_size) == final else size


def _asked_size(ele: Mapping[str, Any], size: Size, num_frames: int, image_patch_size: int) -> Size:
    factor = image_patch_size * vision_process.SPATIAL_MERGE_SIZE
    if "resized_height" in ele and "resized_width" in ele:
        sides = (ele["resized_height"], ele["resized_width"])
        return Size(*vision_process.smart_resize(*sides, factor=factor))
    least = ele.get("min_pixels", vision_process.VIDEO_MIN_TOKEN_NUM * factor**2)
    total = ele.get("total_pixels", vision_process.MODEL_SEQ_LEN * factor**2 * 0.9)
    share = total / num_frames * vision_process.FRAME_FACTOR
    most = max(min(vision_process.VIDEO_MAX_TOKEN_NUM * factor**2, share), int(least * 1.05))
    sides = vision_process.smart_resize(
        size.height_px,
        size.width_px,
        factor=factor,
        min_pixels=least,
        max_pixels=min(ele.get("max_pixels", most), most),
    )
    return Size(*sides)


def _resize(image: PIL.Image.Image, size: Size) -> Any:
    """A frame (height, width, 3) at its final size, resized in the same way as by `fetch_video`.

    The second version of this function in torchvision, which transformers uses, differs by up to
    4 steps of 255.
    """
    resized = resize(
        pil_to_tensor(image),
        [size.height_px, size.width_px],
        interpolation=InterpolationMode.BICUBIC,
        antialias=True,
    )
    return resized.permute(1, 2, 0).numpy()
