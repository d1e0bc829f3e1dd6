import pytest

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Sample
from askback.tasks import task_named
from askback.tasks.hotpotqa import answer_f1, normalize_answer
from askback.tasks.shared_words import longest_shared_run

TASK = task_named("hotpotqa")
ROW = {
    "_id": "h1",
    "question": "Which sea does the Rhine reach?",
    "answer": "the North Sea",
    "type": "bridge",
    "supporting_facts": [["Rhine", 1]],
    "context": [["Rhine", ["It is long.", " It reaches the North Sea."]], ["Elbe", ["It is German."]]],
}


def test_official_row() -> None:
    sample = TASK.read(ROW)
    assert (sample.id, sample.kind, sample.supporting_facts) == ("h1", "bridge", [("Rhine", 1)])
    assert sample.passages[0].text == "It is long. It reaches the North Sea."


def test_hub_row_reads_as_the_official_one() -> None:
    hub = {
        "id": "h1",
        "question": ROW["question"],
        "answer": ROW["answer"],
        "type": "bridge",
        "supporting_facts": {"title": ["Rhine"], "sent_id": [1]},
        "context": {"title": ["Rhine", "Elbe"], "sentences": [ROW["context"][0][1], ROW["context"][1][1]]},  # type: ignore[index]
    }
    assert TASK.read(hub) == TASK.read(ROW)


@pytest.mark.parametrize("change", [{"context": [["Rhine"]]}, {"supporting_facts": [["Rhine", "x"]]}, {"answer": None}, {"_id": ""}])
def test_bad_rows_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        TASK.read(ROW | change)


def test_answer_and_evidence_round_trip() -> None:
    sample = TASK.read(ROW)
    text = TASK.final_answer(sample.answer, sample)
    assert TASK.parse_answer(text) == "the North Sea"
    assert TASK.supporting_facts(text) == [("Rhine", 1)]
    assert TASK.is_correct("North sea.", sample)


def test_titles_with_brackets_and_several_facts() -> None:
    text = "Anna\nEvidence: Rhine (river) [0]; Elbe [2]; Elbe [2]"
    assert TASK.supporting_facts(text) == [("Rhine (river)", 0), ("Elbe", 2)]


def test_gold_reply_quotes_the_supporting_sentences() -> None:
    reply = TASK.parse_teacher(TASK.render_gold(TASK.read(ROW)))
    assert reply.exchanges[0].answer == "Rhine: It reaches the North Sea."
    assert reply.answer == "the North Sea"


def gold_row(question: str, answer: str, **pages: str) -> Sample:
    """A row whose every page, named by its title with underscores, has one supporting sentence."""
    context = [[title.replace("_", " "), [sentence]] for title, sentence in pages.items()]
    facts = [[title, 0] for title, _ in context]
    return TASK.read({"_id": "g", "question": question, "answer": answer, "context": context, "supporting_facts": facts})


BRIDGE = "Which actor of The Silver Comet was born in Oslo?"


@pytest.mark.parametrize(
    ("sample", "asked"),
    [
        (gold_row(BRIDGE, "1921", The_Silver_Comet="It is a film.", Ann_Lie="She was born in Oslo."), ["Silver Comet", "born in Oslo"]),
        (gold_row(BRIDGE, "Ann Lie", Ann_Lie="An actor of stage and screen."), ["actor"]),
        (gold_row("Who wrote it?", "1921", Ann_Lie="A poet.", Book="It is by Ann Lie."), ["Ann Lie"]),
        (gold_row("Who wrote it?", "Ann Lie", Ann_Lie="A poet."), ["Ann Lie"]),
        (gold_row("Is Ann Lie or Jo Vik older?", "Jo Vik", Ann_Lie="Born 1921.", Jo_Vik="Born 1920."), ["Ann Lie", "Jo Vik"]),
    ],
    ids=["words of the question", "not the answer", "a page that another names", "no other way", "a comparison"],
)
def test_the_gold_teacher_asks_by_what_leads_to_the_page(sample: Sample, asked: list[str]) -> None:
    exchanges = TASK.parse_teacher(TASK.render_gold(sample)).exchanges
    assert [exchange.question for exchange in exchanges] == [f"Which page mentions {lead}?" for lead in asked]
    assert all(fact in " ".join(exchange.answer for exchange in exchanges) for fact in sample.facts)


@pytest.mark.parametrize(
    ("question", "sentence", "shared"),
    [
        ("When was the Treaty of Paris signed?", "The treaty of Paris ended it", "Treaty of Paris"),
        ("What is it in?", "It is in what?", ""),
        ("Is it an actor's?", "An ACTOR'S guild", "actor's"),
        ("a1 b2 c3 d4 e5 f6 g7 h8 i9 j10", "a1 b2 c3 d4 e5 f6 g7 h8 i9 j10", "a1 b2 c3 d4 e5 f6 g7 h8"),
    ],
)
def test_shared_words(question: str, sentence: str, shared: str) -> None:
    assert longest_shared_run(question, sentence) == shared


def test_passages_number_sentences_from_zero() -> None:
    sample = TASK.read(ROW)
    text = TASK.prompt("direct", sample.question, passages=sample.passages)[0].content
    assert text.startswith("Rhine: [0] It is long. [1] It reaches the North Sea.\nElbe: [0]")


@pytest.mark.parametrize(
    ("answer", "gold", "f1"),
    [
        ("The North Sea", "north sea", 1.0),
        ("North", "North Sea", 2 / 3),
        ("yes", "no", 0.0),
        ("yes it is", "yes", 0.0),
        (None, "x", 0.0),
        ("b", "a b", 1.0),
    ],
)
def test_answer_f1_as_in_the_official_script(answer: str | None, gold: str, f1: float) -> None:
    assert answer_f1(answer, gold) == pytest.approx(f1)


def test_normalize_answer() -> None:
    assert normalize_answer("The  Quick, (brown) FOX a!") == "quick brown fox"
