"""Paid answers as recordings: a harvest that can be given to someone else, whose `replay` backend reads it."""

from collections.abc import Iterator

import orjson

from askback.contracts.teacher import Recording
from services.teacher.answers.cache import AnswerStore, Provenance
from services.teacher.answers.completion import Completion


def recordings_of(store: AnswerStore, backend: str) -> Iterator[bytes]:
    """One JSONL line, a Recording, for each kept answer of `backend` that is a text; blocks while it reads."""
    for completion, provenance in store.all(backend):
        recording = _recording(completion, provenance)
        if recording is not None:
            yield orjson.dumps(recording.model_dump()) + b"\n"


def _recording(completion: Completion, provenance: Provenance) -> Recording | None:
    text = orjson.loads(completion.body)["choices"][0]["message"].get("content")
    if not text:
        return None  # an answer of tool calls alone is no recording
    return Recording(
        question_id=provenance.question_id or f"request:{provenance.request_hash[:24]}",
        question=provenance.question,
        completion=text,
        model=completion.model,
        sample_index=provenance.sample_index,
        request_hash=provenance.request_hash,
    )
