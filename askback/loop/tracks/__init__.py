"""Stage `tracks`: parallel corpora from the traces, each filter with its counts, classes balanced after the filters."""

from askback.loop.tracks.corpus import Corpus, account, counts_of, file_of, limits_of, make, refuse_empty, write
from askback.loop.tracks.filters import REASONS, Dropped, Selection, Step, Surroundings, balanced, select, select_pairs
from askback.loop.tracks.forms import WHOLE, Row, Thoughts, build, plain, teacher_is_right

__all__ = [
    "REASONS",
    "WHOLE",
    "Corpus",
    "Dropped",
    "Row",
    "Selection",
    "Step",
    "Surroundings",
    "Thoughts",
    "account",
    "balanced",
    "build",
    "counts_of",
    "file_of",
    "limits_of",
    "make",
    "plain",
    "refuse_empty",
    "select",
    "select_pairs",
    "teacher_is_right",
    "write",
]
