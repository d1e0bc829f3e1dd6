"""Write a run's report, figures and slides from what lies in its folder."""

from services.evaluator.reporting import jinja2_report
from services.evaluator.reporting.chart_data import charts
from services.evaluator.reporting.facts import RunFacts, gather
from services.evaluator.reporting.markdown_report import markdown
from services.evaluator.reporting.report_document import report
from services.evaluator.reporting.slides.deck import deck
from services.evaluator.reporting.svg import figure
from services.evaluator.storage.atomic_file import write_atomically
from services.evaluator.storage.run_folder import RunFolder


def publish(run: RunFolder) -> list[str]:
    """Write all files and return their paths relative to the run's folder, the report first.

    Raises Conflict when the run has no scores of its present predictions.
    """
    written = contents(gather(run))
    for name, content in reversed(written.items()):  # the report last, since it links to the rest
        write_atomically(run.path / name, content)
    return list(written)


def contents(facts: RunFacts) -> dict[str, bytes]:
    """Every file by its path: a pure function of the run, so that a rerun writes the same bytes."""
    figures = charts(facts)
    names = ["report.html", "report.md", "slides.pptx", *(f"figures/{chart.name}.svg" for chart in figures)]
    document = report(facts, names)
    files = [jinja2_report.html(document), markdown(document).encode(), deck(facts, figures), *(figure.file(chart) for chart in figures)]
    return dict(zip(names, files, strict=True))
