"""All that a report and its slides tell, read from a run's folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from askback.contracts.evaluator import Scores
from askback.contracts.records import Prediction, Sample
from askback.tasks import task_named
from services.evaluator.reporting.examples import Examples, examples
from services.evaluator.reporting.findings import HarvestFindings, harvest_findings
from services.evaluator.scoring.alignment import aligned
from services.evaluator.storage.run_folder import RunFolder


@dataclass(frozen=True)
class RunFacts:
    """All that the report and the slides tell; a part that the run lacks is empty and is left out."""

    run_id: str
    scores: Scores
    harvest: HarvestFindings | None
    data_card: dict[str, Any]
    trainings: dict[str, dict[str, Any]]
    manifests: list[dict[str, Any]]
    config: dict[str, Any]
    samples: Sequence[Sample] = ()
    """The test questions."""
    predictions: Mapping[str, Sequence[Prediction]] = field(default_factory=dict)
    """By condition's name, in the order of `samples`."""
    examples: Examples = field(default_factory=Examples)


def gather(run: RunFolder) -> RunFacts:
    """Everything that the report tells.

    Raises Conflict when the run has no scores of its present predictions, and InvalidInput naming the file that is damaged.
    """
    scores, samples, known, harvest, config = run.scores(), run.samples(), run.all_samples(), run.harvest(), run.config()
    task = task_named(scores.task)
    conditions = [score.condition for score in scores.conditions]
    predictions = {c.name: aligned(samples, run.predictions(c), run.name_of(run.predictions_file(c))) for c in conditions}
    seed = config.get("seed", 0)
    return RunFacts(
        run_id=run.run_id,
        scores=scores,
        harvest=harvest_findings(harvest, known, task),
        data_card=run.data_card(),
        trainings=run.trainings(),
        manifests=run.manifests(),
        config=config,
        samples=samples,
        predictions=predictions,
        examples=examples(task, samples, predictions, harvest, known, seed if isinstance(seed, int) else 0),
    )
