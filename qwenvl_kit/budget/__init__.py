"""How many tokens pictures take and what a request costs: pure arithmetic on sizes."""

from qwenvl_kit.budget.limits import PixelLimits
from qwenvl_kit.budget.measures import ImageMeasure, PlanningRules, VideoMeasure
from qwenvl_kit.budget.planning import plan_media, plan_request

__all__ = [
    "ImageMeasure",
    "PixelLimits",
    "PlanningRules",
    "VideoMeasure",
    "plan_media",
    "plan_request",
]
