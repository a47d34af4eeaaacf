"""Confidence that can be taken at its word, by how often such answers were right.

calibrator = Calibrator.fit(replies, correct)
calibrator.save("calibration.json")
chat = VisionChat.from_pretrained(..., calibrator="calibration.json")
print(chat.ask("How many?", "picture.png").confidence)   # the share of such answers that are right
"""

from qwenvl_kit.calibration.calibrator import Calibrator
from qwenvl_kit.calibration.reports import CalibrationReport

__all__ = ["CalibrationReport", "Calibrator"]
