"""Predictions beside the questions they answer, one to one."""

from collections.abc import Sequence

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Prediction, Sample

_NAMED = 3
_LONGEST_ID = 60


def aligned(samples: Sequence[Sample], predictions: Sequence[Prediction], file: str, samples_file: str = "samples/dev.jsonl") -> list[Prediction]:
    """`predictions` in the samples' order; raises InvalidInput for a missing, unknown or doubled id, which names the file."""
    by_id: dict[str, Prediction] = {}
    known = {sample.id for sample in samples}
    if predictions and known.isdisjoint(prediction.sample_id for prediction in predictions):
        here, there = _first([prediction.sample_id for prediction in predictions]), _first([sample.id for sample in samples])
        raise InvalidInput(f"{file}: no sample_id is in {samples_file} ({here} here, {there} there); put the samples of these predictions there")
    for prediction in predictions:
        if prediction.sample_id not in known:
            raise InvalidInput(f"{file}: sample_id {prediction.sample_id!r} is not in {samples_file}; evaluate this condition again")
        if prediction.sample_id in by_id:
            raise InvalidInput(f"{file}: sample_id {prediction.sample_id!r} stands twice; evaluate this condition again")
        by_id[prediction.sample_id] = prediction
    for sample in samples:
        if sample.id not in by_id:
            raise InvalidInput(f"{file}: sample_id {sample.id!r} has no prediction; finish the evaluate stage")
    return [by_id[sample.id] for sample in samples]


def _first(ids: Sequence[str]) -> str:
    return ", ".join(repr(one[:_LONGEST_ID]) for one in ids[:_NAMED]) + (", ..." if len(ids) > _NAMED else "")
