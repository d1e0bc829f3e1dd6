import json
from pathlib import Path

from services.trainer.learning.checkpoints import last_checkpoint


def checkpoint(folder: Path, step: int, state: str = json.dumps({"log_history": []})) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    if state:
        (path / "trainer_state.json").write_text(state)
    return path


def test_the_newest_whole_checkpoint_is_taken(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path / "none") is None
    checkpoint(tmp_path, 9)
    newest = checkpoint(tmp_path, 12)
    checkpoint(tmp_path, 15, state="")
    checkpoint(tmp_path, 18, state='{"log_hist')
    (tmp_path / "checkpoint-20-old").mkdir()
    assert last_checkpoint(tmp_path) == newest


def test_the_reference_adapter_is_taken_out(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, 3)
    (path / "ref").mkdir()
    (path / "ref" / "adapter_model.safetensors").touch()
    assert last_checkpoint(tmp_path) == path
    assert [item.name for item in path.iterdir()] == ["trainer_state.json"]
