"""Write a run's report, plots and slides from what lies in its folder."""

from askback.tasks import task_named
from services.evaluator.reporting import matplotlib_plots, pptx_slides
from services.evaluator.reporting.findings import BASE, harvest_findings, leading
from services.evaluator.reporting.report import RunFacts, markdown
from services.evaluator.storage.atomic_file import write_atomically
from services.evaluator.storage.run_folder import RunFolder


def publish(run: RunFolder) -> list[str]:
    """Write all files and return their paths relative to the run's folder, the report first.

    Raises Conflict when the run has no scores of its present predictions.
    """
    facts = gather(run)
    pictures = plots(facts)
    files = ["report.md", "slides.pptx", *pictures]
    contents = dict(pictures)
    contents["slides.pptx"] = pptx_slides.deck(facts, matplotlib_plots.accuracy(facts.scores, leading(facts.scores, pptx_slides.PLOTTED)))
    contents["report.md"] = markdown(facts, files).encode()  # last, since it links to the rest
    for name, content in contents.items():
        write_atomically(run.path / name, content)
    return files


def gather(run: RunFolder) -> RunFacts:
    """Everything that the report tells, read from the run's folder."""
    scores = run.scores()
    return RunFacts(
        run_id=run.run_id,
        scores=scores,
        harvest=harvest_findings(run.harvest(), run.all_samples(), task_named(scores.task)),
        data_card=run.data_card(),
        trainings=run.trainings(),
        manifests=run.manifests(),
        config=run.config(),
    )


def plots(facts: RunFacts) -> dict[str, bytes]:
    """PNG files by path; those without data are left out."""
    found = {"plots/accuracy.png": matplotlib_plots.accuracy(facts.scores, facts.scores.conditions)}
    if against_base := [c for c in facts.scores.comparisons if c.a == BASE]:
        found["plots/differences.png"] = matplotlib_plots.differences(against_base)
    if with_losses := {name: training for name, training in facts.trainings.items() if training.get("losses")}:
        found["plots/training_loss.png"] = matplotlib_plots.training_loss(with_losses)
    if facts.harvest:
        found["plots/harvest.png"] = matplotlib_plots.harvest(facts.harvest.stages)
    return found
