import importlib.util
import os

import pytest

from askback.contracts.errors import InvalidInput
from askback.contracts.trainer import Reporting
from services.trainer.learning.reporting import TENSORBOARD_FOLDER, prepare


def test_nothing_is_reported_unless_asked_for(tmp_path):
    assert prepare([], tmp_path) == []


@pytest.mark.parametrize("target", [target for target in Reporting if importlib.util.find_spec(target.value) is None])
def test_a_target_that_is_not_installed_is_named_with_the_remedy(tmp_path, target):
    with pytest.raises(InvalidInput, match=rf"recipe\.report_to: {target} is not installed .*; pip install {target}"):
        prepare([target], tmp_path)


def test_tensorboard_writes_beside_the_checkpoints_that_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setenv(TENSORBOARD_FOLDER, "")  # so that what is set here is taken back
    monkeypatch.delenv(TENSORBOARD_FOLDER)
    assert prepare([Reporting.TENSORBOARD, Reporting.MLFLOW], tmp_path / "tensorboard") == ["tensorboard", "mlflow"]
    assert os.environ[TENSORBOARD_FOLDER] == str(tmp_path / "tensorboard")
