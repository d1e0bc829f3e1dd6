"""The run in one screen: is the target reached, and by what."""

from services.evaluator.reporting.charts import AnyChart
from services.evaluator.reporting.document import Block, Figure, Paragraph, Section, Tile, Verdict
from services.evaluator.reporting.facts import RunFacts
from services.evaluator.reporting.findings import TARGET_POINTS, headline, target_word
from services.evaluator.reporting.report import majority_text, summary, target_statement
from services.evaluator.reporting.wording import metric_name, p_value, share


def verdict_section(facts: RunFacts, figures: dict[str, AnyChart]) -> Section:
    """The gain over the untrained student held against the target."""
    scores, top = facts.scores, headline(facts.scores)
    name, tiles = metric_name(scores.conditions[0].metrics[0].name), []
    if top.comparison:
        c = top.comparison
        interval = f"95 % interval {100 * c.low:+.1f} to {100 * c.high:+.1f}, Holm p {p_value(c.p_adjusted)}, n = {c.n}"
        tiles.append(Tile("Measured gain", f"{100 * c.difference:+.1f} points", interval))
    if top.best:
        first = top.best.metrics[0]
        tiles.append(Tile(f"Best: {top.best.condition.name}", share(first), f"{name}, 95 % {100 * first.low:.1f} to {100 * first.high:.1f}"))
    if top.base:
        first = top.base.metrics[0]
        tiles.append(Tile("Untrained, direct", share(first), f"{name}, 95 % {100 * first.low:.1f} to {100 * first.high:.1f}"))
    tiles.append(Tile("Commonest answer", majority_text(scores).split(" [")[0], f"always given, n = {scores.n}"))
    blocks: list[Block] = [Verdict(target_word(top.comparison), target_statement(scores), tiles), Paragraph(summary(scores))]
    if "differences" in figures:
        blocks.append(Figure(figures["differences"]))
    return Section("verdict", f"Verdict against +{TARGET_POINTS[0]} to +{TARGET_POINTS[1]} points", blocks)
