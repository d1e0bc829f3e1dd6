"""Find the checkpoint that a job goes on from."""

import json
import re
import shutil
from pathlib import Path


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint whose writing was finished; DPO's copy of its reference is taken out of it.

    transformers loads only the subfolders of a checkpoint that has any, so `ref/` would keep the policy itself from being
    loaded. The reference is rebuilt from the starting adapter anyway.
    """
    found = [path for path in folder.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name) and _is_whole(path)]
    newest = max(found, key=lambda path: int(path.name.split("-")[1]), default=None)
    if newest:
        shutil.rmtree(newest / "ref", ignore_errors=True)
    return newest


def _is_whole(checkpoint: Path) -> bool:
    state = checkpoint / "trainer_state.json"  # written last
    try:
        return isinstance(json.loads(state.read_text(encoding="utf-8")), dict)
    except (FileNotFoundError, ValueError):
        return False
