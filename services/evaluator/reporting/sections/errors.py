"""Error analysis: how many rows of each kind, and some as they were."""

from services.evaluator.reporting.document import Block, Card, Cards, Paragraph, Section, Table
from services.evaluator.reporting.examples import KINDS, SHOWN, ExampleRow
from services.evaluator.reporting.facts import RunFacts

_LONGEST = 600
"""Characters of a text that are shown."""
_ENDED = {"fixed": "right", "broken": "wrong", "teacher wrong": "wrong", "unparsable": "none", "failed": "none"}


def errors_section(facts: RunFacts) -> Section | None:
    """Counts by kind and condition, then at most SHOWN rows of each kind; None where no row is of any kind."""
    found = facts.examples
    if not found.counts:
        return None
    kinds = [kind for kind in KINDS if kind in found.counts]
    order = [score.condition.name for score in facts.scores.conditions]
    places = [name for name in (*order, "harvest") if any(name in found.counts[kind] for kind in kinds)]
    rows = [[f"`{place}`", *(str(found.counts[kind].get(place, 0)) for kind in kinds)] for place in places]
    source = "predictions/*.jsonl, harvest.jsonl, samples/*.jsonl"
    blocks: list[Block] = [
        Paragraph(f"Rows of each kind, and at most {SHOWN} of each as they were, chosen by a hash of the run's seed and the row's id."),
        Table("Rows by kind", ["where", *kinds], rows, source),
    ]
    blocks += [Cards(KINDS[kind], [_card(row) for row in found.of(kind)], f"{source}: by the id shown") for kind in kinds]
    return Section("errors", "Error analysis", blocks)


def _card(row: ExampleRow) -> Card:
    fields = [("Question", row.question), ("Gold", row.gold)]
    if row.draft:
        sure = "" if row.draft.p_yes is None else f" (P(yes) = {row.draft.p_yes:.2f})"
        fields.append(("Draft", f"{row.draft.answer}{sure}"))
    answered = {exchange.question for exchange in row.exchanges}
    fields += [("Asks", question) for question in (row.draft.questions if row.draft else ()) if question not in answered and not row.exchanges]
    for exchange in row.exchanges:
        fields += [("Asks", exchange.question), ("Answered", exchange.answer)]
    if row.text and row.text != row.final:
        fields.append(({"failed": "Error", "teacher wrong": "Reasoning"}.get(row.kind, "Text"), row.text))
    if row.final:
        fields.append(("Verdict" if row.kind == "teacher wrong" else "Final", row.final))
    return Card(f"{row.where}, {row.sample_id}", [(name, _short(text)) for name, text in fields], _ENDED[row.kind])


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} … ({len(text):,} characters)"
