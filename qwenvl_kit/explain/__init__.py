"""Explanations: what an answer looked at, as heat maps on the pixels of the original pictures.

from qwenvl_kit.explain import explain
seen = explain(chat, reply, "What colour is the car?", "street.jpg", word="red")
"""

from qwenvl_kit.explain.explaining import Method, explain
from qwenvl_kit.explain.explanation import Explanation
from qwenvl_kit.explain.faithfulness import Faithfulness
from qwenvl_kit.explain.heat_maps import HeatMap

__all__ = ["Explanation", "Faithfulness", "HeatMap", "Method", "explain"]
