"""The rows of a run as the page shows them: each sample with its records, verdicts and fate."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from askback.contracts.errors import InvalidInput
from askback.contracts.records import HarvestRecord, HarvestStage, Sample
from askback.loop.harvest import Row, rows_of
from askback.loop.store import RunStore
from askback.tasks import task_named
from askback.viewer.fates import STEPS, Fate, Selection, fate_of, selection_of
from askback.viewer.files import Unchanged, records, stamp_of


@dataclass(frozen=True)
class TraceRow:
    """One sample and all that happened to it."""

    index: int
    """Place in the sample, from 0."""
    sample: Sample
    latest: Mapping[HarvestStage, HarvestRecord]
    """The record that counts for each stage: the last one written, unless a stage before it was done again."""
    earlier: Sequence[HarvestRecord]
    """Records that a later try replaced."""
    taught: HarvestRecord
    """The record whose reply counts, the second try's where it came to gold; without a reply where there is none."""
    hint: str
    """`used` where the second try's reply counts, `not used` where there was one in vain, else empty."""
    draft_right: bool | None
    teacher_right: bool | None
    rewrite_right: bool | None
    """Whether the answer equals gold by the task's own rule; None where there is none."""
    fate: Fate
    tracks: Sequence[str]
    text: str
    """All that the search looks through, in lower case."""


class RunTraces:
    """The traces of one run, read again when its files changed. Not safe for threads."""

    def __init__(self, store: RunStore) -> None:
        """Raises InvalidInput for a run id that is no name, a run that does not exist, and one without harvest."""
        if not store.run_id or store.run_id != Path(store.run_id).name or store.run_id.startswith("."):
            raise InvalidInput(f"{store.run_id!r} is not a run's id; give the name of a folder of runs/")
        if not store.folder.is_dir():
            raise InvalidInput(f"run {store.run_id}: no folder {store.folder}; `ls {store.folder.parent}` shows the runs")
        for name, stage in (("samples/train.jsonl", "sample"), ("harvest.jsonl", "harvest")):
            if not store.path(name).exists():
                raise InvalidInput(f"run {store.run_id}: no {stage} yet ({name} is missing); `askback harvest CONFIG --id {store.run_id}` makes it")
        self.run_id = store.run_id
        self._store = store
        self._unchanged = Unchanged()
        self._version = ""
        self._rows: list[TraceRow] = []

    def read(self) -> tuple[list[TraceRow], str]:
        """All rows in the sample's order, and a text that changes with every file they come from.

        Raises InvalidInput naming file and line that cannot be read.
        """
        version = self._stamps()
        if version != self._version:
            self._rows = self._read()
            self._version = version
        return self._rows, self._version

    def _stamps(self) -> str:
        folder = self._store.path("tracks")
        names = [self._store.path(name) for name in ("samples/train.jsonl", "harvest.jsonl", "manifests/tracks.json")]
        paths = [*names, folder / "data_card.json", *sorted(folder.glob("*.jsonl"))]
        return "-".join(f"{path.name}.{modified}.{size}" for path in paths for modified, size in [stamp_of(path)])

    def _read(self) -> list[TraceRow]:
        samples = self._unchanged.get(self._store.path("samples", "train.jsonl"), lambda path: records(path, Sample))
        harvested = self._unchanged.get(self._store.path("harvest.jsonl"), _by_sample)
        selection = selection_of(self._store, self._unchanged)
        return [_row(index, sample, harvested.get(sample.id, []), selection) for index, sample in enumerate(samples)]


def _by_sample(path: Path) -> dict[str, list[HarvestRecord]]:
    found: dict[str, list[HarvestRecord]] = defaultdict(list)
    for record in records(path, HarvestRecord):
        found[record.sample_id].append(record)
    return found


def _row(index: int, sample: Sample, tries: Sequence[HarvestRecord], selection: Selection) -> TraceRow:
    task = task_named(sample.task)
    row = rows_of([sample], tries)[0]
    latest = row.records
    # a stage that is not done reads as a record without outputs
    draft, first, rewrite = (latest.get(stage, HarvestRecord(sample_id=sample.id, stage=stage)) for stage in STEPS)
    taught = row.taught if row.hinted else first
    teacher_right = task.is_correct(taught.reply.answer, sample) if taught.reply else None
    return TraceRow(
        index=index,
        sample=sample,
        latest=latest,
        earlier=[record for record in tries if record is not latest.get(record.stage)],
        taught=taught,
        hint=_hint(row),
        draft_right=task.is_correct(draft.draft.answer, sample) if draft.draft else None,
        teacher_right=teacher_right,
        # a rewrite is free text where no answer was found in it, and is parsed as the evaluation does
        rewrite_right=None if rewrite.rewrite is None else task.is_correct(task.parse_answer(rewrite.rewrite), sample),
        fate=fate_of(sample.id, latest, teacher_right, selection),
        tracks=selection.tracks.get(sample.id, []),
        text="\n".join(_texts(sample, tries)).lower(),
    )


def _hint(row: Row) -> str:
    if HarvestStage.HINT not in row.records:
        return ""
    return "used" if row.hinted else "not used"


def _texts(sample: Sample, tries: Sequence[HarvestRecord]) -> list[str]:
    texts = [sample.id, sample.question, sample.answer, *sample.facts, *sample.decomposition]
    texts += [f"{passage.title}\n{passage.text}" for passage in sample.passages]
    for record in tries:
        texts += [record.rewrite or "", record.error or "", record.model, record.request_hash]
        if record.draft:
            texts += [record.draft.answer, *record.draft.questions]
        if record.reply:
            texts += [record.reply.text, record.reply.thought, record.reply.answer]
            texts += [text for exchange in record.reply.exchanges for text in (exchange.question, exchange.answer)]
    return texts
