"""Calibration of confidence: 0.8 then means that 80 % of such answers are correct.

calibrator = Calibrator.fit(replies, correct)
calibrator.save("calibration.json")
chat = VisionChat.from_pretrained(..., calibrator="calibration.json")
print(chat.ask("How many?", "picture.png").confidence)  # the share of such answers that are correct
"""

from qwenvl_kit.calibration.calibrator import Calibrator
from qwenvl_kit.calibration.reports import CalibrationReport

__all__ = ["CalibrationReport", "Calibrator"]
