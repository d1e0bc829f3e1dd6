"""Traces written by hand for the tests of filters, forms and card."""

from askback.contracts.records import Draft, Exchange, Passage, Sample, TeacherReply, Trace


def trace(number: int, gold: str = "yes", said: str = "yes", draft: str = "no", exchanges: int = 2, question: str = "", asked: str = "") -> Trace:
    pairs = [Exchange(question=asked or f"Which {i}?", answer=f"It is {i}.") for i in range(exchanges)]
    return Trace(
        sample=Sample(id=f"q{number}", task="strategyqa", question=question or f"Q{number}?", answer=gold),
        draft=Draft(answer=draft, questions=["What?"]),
        reply=TeacherReply(exchanges=pairs, thought="It is 0. It is 1.", answer=said, text="..."),
        rewrite="yes",
        backend="replay",
    )


def river(asked: str = "Which page mentions the river?", said: str = "the Rhine", draft: str = "Danube", gold: str = "Rhine") -> Trace:
    """A HotpotQA question over one passage, with its supporting sentence."""
    passage = Passage(id="Basel", title="Basel", sentences=["Basel lies on the Rhine.", " It is in Switzerland."])
    return Trace(
        sample=Sample(
            id="h1",
            task="hotpotqa",
            question="On which river lies the city of the Kunstmuseum?",
            answer=gold,
            facts=["Basel: Basel lies on the Rhine."],
            passages=[passage],
            supporting_facts=[("Basel", 0)],
        ),
        draft=Draft(answer=draft, questions=["Which city?"]),
        reply=TeacherReply(exchanges=[Exchange(question=asked, answer="Basel.")], thought="The museum is in Basel.", answer=said, text="..."),
        rewrite=gold,
        backend="replay",
    )
