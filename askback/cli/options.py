"""Arguments and options that commands share."""

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="The run's TOML file, such as configs/demo.toml.")]
RunId = Annotated[str, typer.Option("--id", help="The run's id; an existing one is continued. Default: name and time.")]
Data = Annotated[Path | None, typer.Option("--data", help="Folder with the dataset's official files, in place of the configured one.")]
Teacher = Annotated[str | None, typer.Option("--teacher", help="Backend of the teacher service: replay, gold, openai, ...")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="At most this many rows of each split.")]
KeepWrong = Annotated[bool | None, typer.Option("--keep-wrong", help="Keep rows whose teacher disagrees with the gold answer.")]
Hint = Annotated[bool | None, typer.Option("--hint", help="Ask the teacher again, with the gold answer, where it disagrees with it.")]
Sampled = Annotated[str | None, typer.Option("--sampling", help="stratified, or uncertainty: the rows that the student is least sure of.")]
Previous = Annotated[str | None, typer.Option("--previous", help="Id of an earlier run: the student that it promoted drafts and asks.")]
_RETRY = "Try the harvest's failed rows again, or where none failed the failed predictions, and redo what follows."
RetryErrors = Annotated[bool, typer.Option("--retry-errors", help=_RETRY)]
