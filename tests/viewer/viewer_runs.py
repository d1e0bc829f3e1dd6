"""Run folders with every fate of a row, written with the store that runs use."""

import json
from collections.abc import Sequence
from pathlib import Path

from askback.contracts.records import Draft, Exchange, HarvestRecord, HarvestStage, Record, Sample, TeacherReply, Usage
from askback.loop.store import RunStore

ATTACK = '<script>document.title = "broken in"</script><img src=x onerror="document.title = 1">'


class Dropped(Record):
    sample_id: str
    reason: str


class TrackRow(Record):
    sample_id: str


def sample(sample_id: str, question: str, answer: str = "yes") -> Sample:
    return Sample(id=sample_id, task="strategyqa", question=question, answer=answer, facts=[f"A fact about {sample_id}."])


def drafted(sample_id: str, answer: str = "no", p_yes: float = 0.25) -> HarvestRecord:
    draft = Draft(answer=answer, p_yes=p_yes, questions=["What is it?", "Where is it?"])
    return HarvestRecord(sample_id=sample_id, stage=HarvestStage.DRAFT, draft=draft, model="base", usage=Usage(prompt_tokens=100, latency_s=0.5))


def taught(sample_id: str, answer: str = "yes", backend: str = "replay", cost_usd: float = 0.0) -> HarvestRecord:
    exchange = Exchange(question="What is a heron?", answer="A wading bird.")
    reply = TeacherReply(
        exchanges=[exchange], thought="A wading bird.", answer=answer, text=f"Q1. What is a heron?\nA wading bird.\nThe answer is {answer}."
    )
    usage = Usage(prompt_tokens=150, completion_tokens=40, cost_usd=cost_usd, latency_s=2.0)
    return HarvestRecord(sample_id=sample_id, stage=HarvestStage.TEACHER, reply=reply, backend=backend, model="gpt-4", cache="miss", usage=usage)


def hinted(sample_id: str, answer: str) -> HarvestRecord:
    """A second try that ends in `answer`."""
    reply = TeacherReply(exchanges=[], thought="On second thought.", answer=answer, text=f"On second thought.\nThe answer is {answer}.")
    return HarvestRecord(sample_id=sample_id, stage=HarvestStage.HINT, reply=reply, backend="openai", usage=Usage(cost_usd=0.01))


def rewritten(sample_id: str, text: str = "yes") -> HarvestRecord:
    return HarvestRecord(sample_id=sample_id, stage=HarvestStage.REWRITE, rewrite=text, model="base", usage=Usage(prompt_tokens=120, latency_s=0.25))


def failed(sample_id: str, stage: HarvestStage, error: str) -> HarvestRecord:
    return HarvestRecord(sample_id=sample_id, stage=stage, error=error)


def write_run(root: Path, run_id: str, samples: Sequence[Sample], records: Sequence[HarvestRecord]) -> RunStore:
    """A run up to its harvest."""
    store = RunStore(root, run_id)
    store.write_records("samples/train.jsonl", samples)
    with store.appender("harvest.jsonl") as kept:
        for record in records:
            kept.append(record)
    return store


def write_tracks(store: RunStore, kept: Sequence[str], dropped: Sequence[Dropped] | None, filters: Sequence[str] = ()) -> None:
    """The stage `tracks`, complete; None for `dropped` leaves its file out."""
    store.write_records("tracks/direct.jsonl", [TrackRow(sample_id=one) for one in kept])
    store.write_records("tracks/dialogue.jsonl", [TrackRow(sample_id=one) for one in kept for _ in range(2)])
    if dropped is not None:
        store.write_records("tracks/dropped.jsonl", dropped)
    store.write_json("tracks/data_card.json", {"filters": [{"filter": name} for name in filters]})
    store.complete("tracks", 0.0, [], {})


def every_fate(root: Path) -> RunStore:
    """Two rows kept, two dropped, two failed, one pending; the row `attack` tries to run a script from each of its texts."""
    samples = [
        sample("heron", "Does a heron wade?"),
        sample("attack", f"Is this {ATTACK} harmless?"),
        sample("wrong", "Does the teacher err?", "no"),
        sample("many", "Is this class too large?"),
        sample("broken", "Does the teacher answer?"),
        sample("mute", "Does the student answer?", "no"),
        sample("later", "Is this row still waited for?"),
    ]
    draft = Draft(answer=ATTACK, p_yes=0.5, questions=[ATTACK])
    reply = TeacherReply(exchanges=[Exchange(question=ATTACK, answer=ATTACK)], thought=ATTACK, answer="yes", text=ATTACK)
    records = [
        *(drafted("heron"), taught("heron", backend="openai", cost_usd=0.002), rewritten("heron", "yes, it wades")),
        HarvestRecord(sample_id="attack", stage=HarvestStage.DRAFT, draft=draft, model=ATTACK),
        HarvestRecord(sample_id="attack", stage=HarvestStage.TEACHER, reply=reply, backend=ATTACK, prompt_version=ATTACK),
        HarvestRecord(sample_id="attack", stage=HarvestStage.REWRITE, rewrite=f"no {ATTACK}"),
        *(drafted("wrong"), taught("wrong"), rewritten("wrong")),
        failed("many", HarvestStage.DRAFT, "UpstreamRejected: the student said nothing"),
        *(drafted("many", "yes", 0.75), taught("many"), rewritten("many")),
        *(drafted("broken"), failed("broken", HarvestStage.TEACHER, f"UpstreamRejected: no verdict in {ATTACK}")),
        failed("mute", HarvestStage.DRAFT, "UpstreamRejected: empty"),
        drafted("later"),
    ]
    store = write_run(root, "fates", samples, records)
    write_tracks(
        store, ["heron", "attack"], [Dropped(sample_id="wrong", reason="teacher_disagrees"), Dropped(sample_id="many", reason="class_balance")]
    )
    return store


def torn(store: RunStore) -> bytes:
    """Tear the harvest's last line, as a crash does; returns the file's content."""
    path = store.path("harvest.jsonl")
    path.write_bytes(path.read_bytes() + json.dumps({"sample_id": "later"}).encode()[:9])
    return path.read_bytes()
