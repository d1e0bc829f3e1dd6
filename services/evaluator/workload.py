"""How long scoring a run will take, told from the sizes of its files."""

from math import inf

from services.evaluator.storage.bounded_file import lines_of, refuse_large
from services.evaluator.storage.run_folder import RunFolder

AT_ONCE_S = 5.0
_LOOKED_INTO_BYTES = 32 << 20
# Seconds of one core of a busy machine with two of them.
_PAIR_S = 0.005
_ANSWER_S = 0.0002
_MIB_S = 0.08


def at_once(run: RunFolder) -> bool:
    """Whether the caller can wait for the scores. Raises InvalidInput as reading the run does."""
    return estimated_s(run) <= AT_ONCE_S


def estimated_s(run: RunFolder) -> float:
    """Seconds of a pass over all files, of each answer's metrics and of each pair's bootstrap; infinite for a run that is large,
    or has a pipe in place of a file. What a run lacks takes no time to say. Raises InvalidInput as reading the run does."""
    conditions = run.conditions()
    files = [run.samples_file, *map(run.predictions_file, conditions)]
    if not all(file.exists() for file in files):
        return 0.0
    read = {*files, *run.path.glob("samples/*.jsonl"), *run.path.glob("tracks/*.jsonl"), *run.path.glob("tracks/*/*.jsonl")}
    for file in read:
        refuse_large(file, run.name_of(file), run.max_bytes)
    size = sum(file.stat().st_size for file in read)
    if size > _LOOKED_INTO_BYTES or not all(file.is_file() for file in read):
        return inf
    questions = sum(1 for _ in lines_of(run.samples_file, run.name_of(run.samples_file), run.max_bytes))
    compared = len({condition.pool for condition in conditions})  # the seeds of a pool are compared as one
    pairs = compared * (compared - 1) / 2
    return size / 2**20 * _MIB_S + pairs * _PAIR_S + len(conditions) * questions * _ANSWER_S
