"""`askback index build` makes an index of the retriever from a corpus file, `askback index list` tells which there are.

The work is done by a process of its own, because the command line does not import services.
"""

import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from askback.contracts.errors import InvalidInput

_BUILDER = (sys.executable, "-m", "services.retriever.building")
_GRACE_S = 5.0  # what the builder needs to leave things in order
_Corpus = Path | None


def run_builder(arguments: Sequence[str]) -> int:
    """Run the builder with `arguments` to its end; returns its exit code. Ctrl-C and SIGTERM reach it and are waited for."""
    with subprocess.Popen([*_BUILDER, *arguments]) as child:  # noqa: S603
        previous = signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        try:
            return child.wait()
        except KeyboardInterrupt:
            with suppress(subprocess.TimeoutExpired):  # a terminal sends it to the builder too
                return child.wait(_GRACE_S)
            child.terminate()
            return child.wait()
        finally:
            signal.signal(signal.SIGTERM, previous)


def build(
    name: Annotated[str, typer.Argument(help="Name of the index, by which searches ask for it.")],
    wiki: Annotated[_Corpus, typer.Option(help="HotpotQA's Wikipedia, enwiki-…-abstracts.tar.bz2.")] = None,
    jsonl: Annotated[_Corpus, typer.Option(help="JSON lines with id, title and sentences (or text).")] = None,
    hotpotqa: Annotated[_Corpus, typer.Option(help="A HotpotQA file, for the pages that come with its questions.")] = None,
    embedder: Annotated[str, typer.Option(help="A model's folder, or its name on the hub; else EMBEDDER, else all-MiniLM-L6-v2.")] = "",
    device: Annotated[str, typer.Option(help="torch device of the embedder, such as cuda; else EMBEDDER_DEVICE, else cpu.")] = "",
    recall: Annotated[float, typer.Option(min=0.5, max=0.999, help="Recall@10 against exact search; from 100,000 passages on.")] = 0.98,
    limit: Annotated[int, typer.Option(min=0, help="Index the first passages alone; 0 for all.")] = 0,
) -> None:
    """Build an index of the retriever, or go on with a build that was stopped: the same command resumes.

    A retriever that runs serves the new index as soon as it is complete.

    Examples:

      askback index build wiki --wiki enwiki-20171001-pages-meta-current-withlinks-abstracts.tar.bz2 --device cuda

      askback index build hotpotqa --hotpotqa hotpot_dev_distractor_v1.json
    """
    corpora = {kind: path for kind, path in (("wiki", wiki), ("jsonl", jsonl), ("hotpotqa", hotpotqa)) if path}
    if len(corpora) != 1:
        raise InvalidInput("index build: name one corpus: --wiki, --jsonl or --hotpotqa FILE")
    kind, path = next(iter(corpora.items()))
    arguments = ["build", name, f"--{kind}", str(path), "--recall", str(recall), "--limit", str(limit)]
    arguments += ["--embedder", embedder] * bool(embedder) + ["--device", device] * bool(device)
    raise typer.Exit(run_builder(arguments))


def list_indexes() -> None:
    """List the retriever's indexes: passages, kind of vectors, embedder, or why one cannot be read.

    Example:

      askback index list
    """
    raise typer.Exit(run_builder(["list"]))


def add_to(app: typer.Typer) -> None:
    """Add the group `index` to `app`."""
    group = typer.Typer(no_args_is_help=True, help="Build and list the retriever's indexes.")
    group.command("build")(build)
    group.command("list")(list_indexes)
    app.add_typer(group, name="index")
