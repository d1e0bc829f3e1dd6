"""Retrieved passages for open questions, attached once so that draft, teacher and test read the same ones."""

from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from askback.contracts.client import RetrieverClient
from askback.contracts.errors import InvalidInput
from askback.contracts.records import Passage, Sample
from askback.contracts.retriever import IndexRequest, MultihopRequest, SearchRequest
from askback.loop.concurrently import concurrently
from askback.loop.config import RunConfig
from askback.loop.patience import patiently
from askback.loop.progress import Reporter
from askback.tasks import Task
from askback.tasks.datafile import read_rows

_BATCH = 64  # queries a request
_AT_ONCE = 8  # requests of one question each


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
) -> list[list[Sample]]:
    """`splits` with the `harvest.retrieve` best passages of each question in place of the dataset's own."""
    everything = [sample for split in splits for sample in split]
    if not config.data.index:
        await _index(task.name, corpus(config, everything), retriever, reporter)
    found: list[Sample] = []
    with reporter.bar("retrieve", len(everything)) as bar:
        for start in range(0, len(everything), _BATCH):
            chunk = everything[start : start + _BATCH]
            pages = await _pages(config, task, [sample.question for sample in chunk], retriever)
            found += [sample.model_copy(update={"passages": best}) for sample, best in zip(chunk, pages, strict=True)]
            bar.advance(len(chunk))
    left = iter(found)
    return [list(islice(left, len(split))) for split in splits]


async def _index(name: str, passages: list[Passage], retriever: RetrieverClient, reporter: Reporter) -> None:
    if not passages:
        raise InvalidInput("harvest.retrieve needs passages: set data.corpus or data.index, or use data that has them")
    reporter.say(f"  indexing {len(passages)} passages")
    await patiently(partial(retriever.index, IndexRequest(name=name, passages=passages)))


async def _pages(config: RunConfig, task: Task, questions: Sequence[str], retriever: RetrieverClient) -> list[list[Passage]]:
    """The best passages of each question; for a task of two pages a question, by way of the first to the second."""
    k, index = config.harvest.retrieve, config.data.index or task.name
    if task.hops == 1:
        request = SearchRequest(queries=list(questions), k=k, index=index)
        return [[hit.passage for hit in hits] for hits in (await patiently(partial(retriever.search, request))).hits]
    asked = [MultihopRequest(question=question, k=k, hops=task.hops, index=index) for question in questions]
    found: dict[str, list[Passage]] = {}

    async def ask(request: MultihopRequest) -> None:
        answer = await patiently(partial(retriever.multihop, request))
        found[request.question] = [hit.passage for hit in answer.hits]

    await concurrently(_AT_ONCE, asked, ask)
    return [found[question] for question in questions]
