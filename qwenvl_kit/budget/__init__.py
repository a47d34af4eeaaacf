"""How many tokens pictures take and what a request costs: pure arithmetic on sizes."""

from qwenvl_kit.budget.limits import PixelLimits
from qwenvl_kit.budget.planning import (
    ImageMeasure,
    PlanningRules,
    VideoMeasure,
    plan_media,
    plan_request,
)

__all__ = [
    "ImageMeasure",
    "PixelLimits",
    "PlanningRules",
    "VideoMeasure",
    "plan_media",
    "plan_request",
]
