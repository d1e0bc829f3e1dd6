"""Start the teacher: settings from the environment, composition, server."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from askback.contracts.errors import InvalidInput
from services.serving import serve
from services.teacher.answers import PaidAnswers
from services.teacher.app import create_app
from services.teacher.backend import Backend
from services.teacher.config import BackendSpec, OpenAISpec, ReplaySpec, load_config
from services.teacher.core import Teacher
from services.teacher.database import Database
from services.teacher.openai_backend import OpenAIBackend
from services.teacher.recorded_backend import RecordedBackend
from services.teacher.recordings import Recordings
from services.teacher.selection import ActiveBackend


def compose(environment: Mapping[str, str]) -> Teacher:
    """The teacher that `environment` describes; raises InvalidInput with one line on what is wrong."""
    config_path = Path(environment.get("TEACHER_CONFIG") or "configs/teacher.toml")
    config = load_config(config_path)
    home = Path(environment.get("ASKBACK_HOME") or "var")
    database = Database(Path(environment.get("TEACHER_DATABASE") or home / "teacher.sqlite"))
    recordings = Recordings(database)

    def build(spec: BackendSpec) -> Backend:
        if isinstance(spec, OpenAISpec):
            return OpenAIBackend(spec, environment)
        path = spec.path if isinstance(spec, ReplaySpec) else ""
        recordings.follow_file(spec.name, config_path.parent / path if path else None)
        return RecordedBackend(spec.name, recordings)

    backends = {spec.name: build(spec) for spec in config.backends}
    keys = {spec.name: spec.api_key_env for spec in config.backends if isinstance(spec, OpenAISpec) and spec.api_key_env}
    missing = {name: f"{key} is not set where the teacher runs" for name, key in keys.items() if not environment.get(key, "").strip()}
    return Teacher(config, backends, PaidAnswers(database), recordings, ActiveBackend(database, config), missing)


def main() -> None:
    try:
        teacher = compose(os.environ)
    except InvalidInput as error:
        sys.stderr.write(f"teacher: {error}\n")
        raise SystemExit(2) from None
    serve(create_app(teacher), 8001)


if __name__ == "__main__":
    main()
