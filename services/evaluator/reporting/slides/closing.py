"""The last slides: what the numbers do not say, and where each comes from."""

from collections.abc import Sequence

from services.evaluator.reporting.charts import AnyChart
from services.evaluator.reporting.facts import RunFacts
from services.evaluator.reporting.findings import headline
from services.evaluator.reporting.report import caveats
from services.evaluator.reporting.slides.building import bullets, table_slides
from services.evaluator.reporting.slides.page import Slide


def limit_slides(facts: RunFacts) -> list[Slide]:
    lines = [*caveats(facts), *_more(facts)]
    title = f"Limits: {facts.scores.n} questions decide only large differences"
    return [Slide(title, [bullets(lines)], "From scores.json and config.toml; the same list stands in report.md.")]


def _more(facts: RunFacts) -> list[str]:
    found, pairs = headline(facts.scores).comparison, len(facts.scores.comparisons)
    said = []
    if found and found.needed_n:
        said.append(f"A difference as large as the best one's would be shown with 80 % power at n = {found.needed_n:,}.")
    if pairs > 1:
        said.append(f"Holm's correction counts all {pairs} pairs of conditions, so that only large differences survive it.")
    if facts.harvest:
        said.append("The teacher is not always right; what it got wrong and the filters did not see is in the tracks.")
    return said


def source_slides(facts: RunFacts, charts: Sequence[AnyChart]) -> list[Slide]:
    """One row for each kind of number; files are relative to the run's folder."""
    rows = [
        ["Results, comparisons, asking, cost", "scores.json", "POST /v1/scores over predictions/ and samples/dev.jsonl"],
        ["Predictions", "predictions/<condition>.jsonl", "the student service, by mode, resolver and adapter"],
    ]
    if facts.harvest:
        rows.append(["Harvest", "harvest.jsonl", "the harvest stage; one record for each row and stage"])
    if facts.data_card:
        rows.append(["Filters and tracks", "tracks/data_card.json", f"the tracks stage, from {facts.data_card.get('source', 'the harvest')}"])
    if facts.trainings:
        rows.append(["Training", "adapters/<name>/training.json", "the trainer service"])
    if facts.config:
        rows.append(["Settings and seeds", "config.toml", "the run's own configuration"])
    rows += [[chart.title, *_source(chart)] for chart in charts]
    note = f"Files lie in the folder of run {facts.run_id}; each slide's notes name the fields."
    return table_slides("Every number has its source", ["number", "file", "from"], rows, note, "Paths are relative to the run's folder.")


def _source(chart: AnyChart) -> list[str]:
    file, _, fields = chart.source.partition(": ")
    return [file, fields or "–"]
