"""Which recorded sub-question answers a question that was put in other words.

A question is likened to a recorded answer by the F1 of their telling words, and to the recorded question a quarter as much: the facts of a
dataset do not stand behind the very steps that they answer, so that the words of the step mislead where those of the fact do not.
"""

from collections.abc import Sequence

from askback.contracts.records import Exchange
from askback.tasks.question_words import asks_the_same, likeness, telling
from askback.tasks.word_runs import words

_ASKED = 0.25

Near = tuple[bool, float]
"""Whether it is asked word for word, and how near it is."""


def nearest(questions: Sequence[str], known: Sequence[Exchange]) -> list[str | None]:
    """For each question the answer of the recorded one nearest to it, each answer once; None where no telling word is shared.

    The best pairs go first, and before them those where the recorded question is asked word for word. Of equally near ones the earlier
    question gets the earlier answer.
    """
    pairs = [(_near(question, one), -i, -j) for i, question in enumerate(questions) for j, one in enumerate(known)]
    found: dict[int, int] = {}
    for near, i, j in sorted(pairs, reverse=True):
        if any(near) and -i not in found and -j not in found.values():
            found[-i] = -j
    return [known[found[i]].answer if i in found else None for i in range(len(questions))]


def steps_to(question: str, known: Sequence[Exchange]) -> list[Exchange]:
    """Those of `known` that do not ask `question` itself, since the answer to that is the verdict in other words."""
    asked = telling(question)
    return [one for one in known if words(one.question) != words(question) and not asks_the_same(telling(one.question), asked)]


def _near(question: str, known: Exchange) -> Near:
    asked = telling(question)
    likened = likeness(asked, telling(known.answer)) + _ASKED * likeness(asked, telling(known.question))
    return words(question) == words(known.question), likened
