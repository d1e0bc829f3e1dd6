"""Stage `tracks`: parallel corpora from the traces, each filter with its counts, classes balanced after the filters."""

from askback.loop.tracks.corpus import Corpus, account, limits_of, make, refuse_empty, write
from askback.loop.tracks.filters import REASONS, Dropped, Selection, Step, Surroundings, balanced, select, select_pairs
from askback.loop.tracks.forms import Row, build, plain, teacher_is_right

__all__ = [
    "REASONS",
    "Corpus",
    "Dropped",
    "Row",
    "Selection",
    "Step",
    "Surroundings",
    "account",
    "balanced",
    "build",
    "limits_of",
    "make",
    "plain",
    "refuse_empty",
    "select",
    "select_pairs",
    "teacher_is_right",
    "write",
]
