"""What an answer answers, read off its request."""

from hashlib import sha256

from services.teacher.answers.cache import Provenance
from services.teacher.request.asked import Asked, asked_question


def request_hash(asked: Asked) -> str:
    """SHA-256 in hex of the request's meaning alone, whoever answers it."""
    return sha256(asked.meaning).hexdigest()


def provenance_of(asked: Asked, backend: str) -> Provenance:
    """Where the answer of `backend` to `asked` belongs."""
    return Provenance(backend, request_hash(asked), asked.question_id, asked_question(asked.body), asked.sample_index)
