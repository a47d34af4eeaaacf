"""The image tools of Qwen's agents, in the words with which Qwen3-VL was trained to call them.

`image_zoom_in_tool` is that of Qwen-Agent (`image_zoom_in_qwen3vl.py`, Apache-2.0), word for word.
`image_rotate_tool` is that of DeepEyes (`visual_toolbox_v2.py`, Apache-2.0), with the index of a
picture as the first one has it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from qwenvl_kit.messages.tool_parts import ToolOffer

ImageTool: TypeAlias = Literal["zoom", "rotate"]
"""A tool that shows a part of a picture, or a picture turned."""

ZOOM, ROTATE = "image_zoom_in_tool", "image_rotate_tool"

_INDEX = MappingProxyType(
    {"type": "number", "description": "The index of the zoomed-in image (starting from 0)"}
)


def _tool(name: str, description: str, properties: Mapping[str, Any]) -> str:
    parameters = {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
    }
    function = {"name": name, "description": description, "parameters": parameters}
    return json.dumps({"type": "function", "function": function})


_TOOLS: Mapping[str, str] = MappingProxyType(
    {
        "zoom": _tool(
            ZOOM,
            "Zoom in on a specific region of an image by cropping it based on a bounding box "
            "(bbox) and an optional object label",
            {
                "bbox_2d": {
                    "type": "array",
                    "items": {"type": "number"},
                    "minItems": 4,
                    "maxItems": 4,
                    "description": "The bounding box of the region to zoom in, as [x1, y1, x2, "
                    "y2], where (x1, y1) is the top-left corner and (x2, y2) is the bottom-right "
                    "corner",
                },
                "label": {
                    "type": "string",
                    "description": "The name or label of the object in the specified bounding box",
                },
                "img_idx": dict(_INDEX),
            },
        ),
        "rotate": _tool(
            ROTATE,
            "Rotate the image by a specified angle to correct orientation or get a better view.",
            {
                "angle": {
                    "type": "number",
                    "description": "Rotation angle in degrees. Positive values rotate "
                    "counter-clockwise.",
                },
                "img_idx": {**_INDEX, "description": "The index of the image (starting from 0)"},
            },
        ),
    }
)

TOOL_NAMES: Mapping[str, str] = MappingProxyType({"zoom": ZOOM, "rotate": ROTATE})
"""The name by which a model calls each tool."""


def offer(tools: Iterable[str]) -> ToolOffer:
    """The offer of some of the tools."""
    return ToolOffer(tuple(_TOOLS[name] for name in tools))
