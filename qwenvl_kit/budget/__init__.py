"""Budget arithmetic: the tokens of pictures and videos and the memory of requests, from sizes."""

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
