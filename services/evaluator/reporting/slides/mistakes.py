"""Error analysis: how many rows went which way, and real rows of each kind."""

from collections.abc import Sequence

from services.evaluator.reporting.examples import KINDS, ExampleRow, Examples
from services.evaluator.reporting.slides.building import table_slides
from services.evaluator.reporting.slides.measure import clipped, text_height
from services.evaluator.reporting.slides.page import ROOM, Box, Line, Slide, Words

_EACH = 2
_SIZES = (16, 15, 14, 13, 12)
_GAP = 0.35
_MARGIN = 0.35  # above and below a card's text
_LENGTHS = (320, 220, 150, 100)  # characters of each text, tried in turn
_SAID = {"failed": "Error", "teacher wrong": "Reasoning"}
_TITLES = {
    "fixed": "{} answers were fixed by asking",
    "broken": "{} answers were broken by asking",
    "teacher wrong": "The teacher was wrong on {} harvested rows",
    "unparsable": "{} predictions hold no answer that can be read",
    "failed": "{} predictions ended in an error",
}


def mistake_slides(found: Examples) -> list[Slide]:
    """Counts by condition, then two real rows of each kind."""
    kinds = [kind for kind in KINDS if found.counts.get(kind)]
    places = list(dict.fromkeys(place for kind in kinds for place in found.counts[kind]))
    rows = [[place, *(str(found.counts[kind].get(place, 0)) for kind in kinds)] for place in places]
    total = sum(count for counts in found.counts.values() for count in counts.values())
    notes = "Counts over predictions/*.jsonl and harvest.jsonl against samples/*.jsonl. The rows shown are chosen by a hash, not by hand."
    note = " ".join(f"{KINDS[kind]}." for kind in kinds)
    made = table_slides(f"Error analysis: {total} rows of {len(kinds)} kinds", ["where", *kinds], rows, note, notes)
    for kind in kinds:
        made += _of_kind(kind, found.of(kind)[:_EACH], sum(found.counts[kind].values()))
    return made


def _of_kind(kind: str, rows: Sequence[ExampleRow], count: int) -> list[Slide]:
    """Both rows side by side, their texts cut until they can be read so."""
    wide = (ROOM.width - _GAP) / 2
    title = _title(kind, count)
    notes = f"{KINDS[kind]}. " + " ".join(f"Row {row.sample_id} of {row.where}." for row in rows) + " Long texts are cut; the files hold them whole."
    length, size = _fit(rows, wide)
    tall = max([_tall(row, wide, length, size) for row in rows], default=0.0) + _MARGIN
    boxes = [Box(ROOM.left + i * (wide + _GAP), ROOM.top, wide, min(tall, ROOM.height)) for i in range(len(rows))]
    cards = [_card(row, box, length, size) for row, box in zip(rows, boxes, strict=True)]
    return [Slide(title, cards, notes)] if cards else []


def _title(kind: str, count: int) -> str:
    said = _TITLES.get(kind, f"{kind}: {{}} rows").format(count)
    if count == 1:
        for many, one in (("answers were", "answer was"), ("harvested rows", "harvested row"), ("predictions hold", "prediction holds")):
            said = said.replace(many, one)
        said = said.replace("predictions ended", "prediction ended")
    return said


def _fit(rows: Sequence[ExampleRow], wide: float) -> tuple[int, float]:
    """The longest texts at the largest size at which every row fits its card."""
    for length in _LENGTHS:
        for size in _SIZES:
            if all(_tall(row, wide, length, size) <= ROOM.height - _MARGIN for row in rows):
                return length, size
    return _LENGTHS[-1], _SIZES[-1]


def _tall(row: ExampleRow, wide: float, length: int, size: float) -> float:
    lines = _lines(row, length, size)
    return sum(text_height(line.text, wide - 0.4, line.size, bold=line.bold) + line.gap * line.size / 72 for line in lines)


def _card(row: ExampleRow, box: Box, length: int, size: float) -> Words:
    return Words(box, _lines(row, length, size), look="card", long=True, alt=f"{row.kind}, row {row.sample_id} of {row.where}")


def _lines(row: ExampleRow, length: int, size: float) -> list[Line]:
    told = [Line(f"{row.where} · row {clipped(row.sample_id, 40)}", 12, tone="quiet"), Line(clipped(row.question, length), size, bold=True, raw=True)]
    draft = f"draft {clipped(row.draft.answer, 60)}, " if row.draft else ""
    told.append(Line(f"Gold {clipped(row.gold, 60)}, {draft}final {clipped(row.final, 60) or 'none'}", size, tone="accent", bold=True, raw=True))
    for exchange in row.exchanges[:2]:
        told.append(Line(f"Asked: {clipped(exchange.question, length)}", size, raw=True, gap=0.15))
        told.append(Line(f"Answered: {clipped(exchange.answer, length)}", size, raw=True))
    if row.text.strip().lower() != row.final.strip().lower() and (text := clipped(row.text, length)):
        told.append(Line(f"{_SAID.get(row.kind, 'Text')}: {text}", size, tone="quiet", raw=True))
    return told
