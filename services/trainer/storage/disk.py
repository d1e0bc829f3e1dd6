"""What a folder needs before it may be renamed into place."""

import os
from pathlib import Path


def flush(folder: Path) -> None:
    """Have the disk hold every file of `folder`, which has no folders in it."""
    for path in folder.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
