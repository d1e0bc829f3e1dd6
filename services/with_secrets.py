"""Start a module with the secrets of its container: `python -m services.with_secrets services.teacher`.

Each file in /run/secrets becomes the environment variable of its name, in capitals; a variable that is set already stays.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

_FOLDER = Path("/run/secrets")


def with_secrets(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """`environment` and what the files in `folder` hold, without the blanks around it; an empty variable counts as not set.

    Raises OSError for a file that this user may not read.
    """
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    secrets = {file.name.upper(): file.read_text(encoding="utf-8").strip() for file in files if file.is_file()}
    return secrets | {name: value for name, value in environment.items() if value or name not in secrets}


def main() -> None:
    try:
        environment = with_secrets(os.environ, _FOLDER)
    except OSError as error:
        sys.stderr.write(f"{error.filename} cannot be read ({error.strerror}); make the secret's file readable for user {os.getuid()}\n")
        raise SystemExit(2) from None
    os.execve(sys.executable, [sys.executable, "-m", *sys.argv[1:]], environment)  # noqa: S606 - there is no shell


if __name__ == "__main__":
    main()
