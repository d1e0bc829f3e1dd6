"""Retrieved passages for open questions, attached once so that draft, teacher and test read the same ones."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from askback.contracts.client import RetrieverClient
from askback.contracts.errors import InvalidInput
from askback.contracts.records import Passage, Sample
from askback.contracts.retriever import IndexRequest, SearchRequest
from askback.loop.config import RunConfig
from askback.loop.patience import patiently
from askback.loop.progress import Reporter
from askback.tasks import Task
from askback.tasks.datafile import read_rows

_BATCH = 64  # queries a request


def corpus(config: RunConfig, samples: Sequence[Sample]) -> list[Passage]:
    """The configured corpus file, or every passage that comes with the samples."""
    if not config.data.corpus:
        return list({passage.title: passage for sample in samples for passage in sample.passages}.values())
    passages = []
    for place, row in read_rows(Path(config.data.path) / config.data.corpus):
        try:
            passages.append(Passage(id=str(row["id"]), title=row["title"], sentences=row["sentences"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(f"{place}: a passage needs id, title and sentences (a list of texts)") from error
    return passages


async def attach_passages(
    config: RunConfig, task: Task, splits: Sequence[Sequence[Sample]], retriever: RetrieverClient, reporter: Reporter
) -> tuple[list[Sample], list[Sample]]:
    """(train, dev) with the `harvest.retrieve` best passages of each question in place of the dataset's own."""
    everything = [sample for split in splits for sample in split]
    passages = corpus(config, everything)
    if not passages:
        raise InvalidInput("harvest.retrieve needs passages: set data.corpus, or use data that has them")
    reporter.say(f"  indexing {len(passages)} passages")
    await patiently(partial(retriever.index, IndexRequest(name=task.name, passages=passages)))
    found: list[Sample] = []
    with reporter.bar("retrieve", len(everything)) as bar:
        for start in range(0, len(everything), _BATCH):
            chunk = everything[start : start + _BATCH]
            request = SearchRequest(queries=[sample.question for sample in chunk], k=config.harvest.retrieve, index=task.name)
            answer = await patiently(partial(retriever.search, request))
            found += [sample.model_copy(update={"passages": [hit.passage for hit in hits]}) for sample, hits in zip(chunk, answer.hits, strict=True)]
            bar.advance(len(chunk))
    return found[: len(splits[0])], found[len(splits[0]) :]
