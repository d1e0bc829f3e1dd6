"""Where a training's curves go beside the job's record: transformers' own callbacks, checked before they are asked for."""

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

from askback.contracts.errors import InvalidInput
from askback.contracts.trainer import Reporting

TENSORBOARD_FOLDER = "TENSORBOARD_LOGGING_DIR"
"""transformers' variable; its own default lies among the checkpoints, which are removed at the end."""


def prepare(targets: Sequence[Reporting], folder: Path) -> list[str]:
    """transformers' `report_to`; TensorBoard writes into `folder` unless its variable names another.

    Raises InvalidInput for a target whose package is not installed.
    """
    for target in targets:
        if importlib.util.find_spec(target.value) is None:
            raise InvalidInput(f"recipe.report_to: {target} is not installed where the trainer's worker runs; pip install {target}")
    if Reporting.TENSORBOARD in targets:
        os.environ.setdefault(TENSORBOARD_FOLDER, str(folder))
    return [target.value for target in targets]
