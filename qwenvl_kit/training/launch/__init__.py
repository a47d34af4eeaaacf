"""The ways to start a training: a TOML file, and the settings of several processes."""

from qwenvl_kit.training.launch.config import TrainingConfig, read_config
from qwenvl_kit.training.launch.shipped import launch_config

__all__ = ["TrainingConfig", "launch_config", "read_config"]
