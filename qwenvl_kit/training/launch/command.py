"""The command `train` of `python -m qwenvl_kit`."""

from __future__ import annotations

import argparse
import os
import sys

from qwenvl_kit.errors import QwenVLKitError
from qwenvl_kit.training.launch.config import TrainingConfig, read_config

_RANK = "RANK"
"""The variable with the number of a process, as torch's and accelerate's launchers set it."""


def train(options: argparse.Namespace) -> int:
    """Run `train`: a training, or the check of its examples.

    Returns:
        The exit code: 1 if the check has found faults, 2 if the training could not be done.
    """
    rank = int(os.environ.get(_RANK, "0"))
    try:
        config = read_config(
            options.config, options.set, output=options.output, resume=options.resume
        )
        if options.check:
            return 0 if rank else _check(config)
        run = config.train()
    except QwenVLKitError as error:
        print(f"process {rank}: {error}" if rank else error, file=sys.stderr)
        return 2
    if not rank:
        print(run.losses)
        print(run.adapter or run.model_folder)
    return 0


def _check(config: TrainingConfig) -> int:
    report = config.check()
    print(report)
    return 0 if report.is_ok else 1
