"""The whole report as a document: every section that the run has data for."""

from collections.abc import Sequence

from services.evaluator.reporting.chart_data import charts
from services.evaluator.reporting.charts import AnyChart
from services.evaluator.reporting.document import Document, Figure, Section
from services.evaluator.reporting.facts import RunFacts
from services.evaluator.reporting.sections.asking import asking_section, calibration_section
from services.evaluator.reporting.sections.closing import limits_section, sources_section
from services.evaluator.reporting.sections.comparing import comparisons_section, seeds_section
from services.evaluator.reporting.sections.data import contamination_section, data_section
from services.evaluator.reporting.sections.effort import cost_section, training_section
from services.evaluator.reporting.sections.errors import errors_section
from services.evaluator.reporting.sections.method import method_section
from services.evaluator.reporting.sections.results import results_section, slices_section
from services.evaluator.reporting.sections.verdict import verdict_section
from services.evaluator.reporting.wording import counted


def report(facts: RunFacts, files: Sequence[str]) -> Document:
    """`files` are those written with the report, relative to the run's folder."""
    figures = {chart.name: chart for chart in charts(facts)}
    sections = [
        verdict_section(facts, figures),
        method_section(facts),
        data_section(facts, figures),
        contamination_section(facts),
        cost_section(facts, figures),
        training_section(facts, figures),
        results_section(facts, figures),
        slices_section(facts),
        asking_section(facts),
        comparisons_section(facts),
        seeds_section(facts, figures),
        calibration_section(facts, figures),
        _agreement(figures),
        errors_section(facts),
        limits_section(facts),
        sources_section(facts, files),
    ]
    said = f"{facts.scores.task}, {counted(facts.scores.n, 'test question')}, {counted(len(facts.scores.conditions), 'condition')}"
    return Document(f"Run {facts.run_id}", said, [section for section in sections if section])


def _agreement(figures: dict[str, AnyChart]) -> Section | None:
    return Section("agreement", "Agreement", [Figure(figures["agreement"])]) if "agreement" in figures else None
