"""Schemas of the teacher service. Chat requests and answers follow OpenAI's chat completions API."""

from pydantic import BaseModel, ConfigDict, Field

from askback.contracts.records import Message, Record, Usage


class ChatRequest(BaseModel):
    """An OpenAI chat completion request. Unknown fields are passed on to the backend as they are."""

    model_config = ConfigDict(extra="allow", frozen=True)

    model: str = "teacher"
    """Backend to use; `teacher` means the active one."""
    messages: list[Message] = Field(min_length=1)
    metadata: dict[str, str] = Field(default_factory=dict)
    """`question_id` lets recorded backends find an answer; never sent upstream."""


class ChatReply(Record):
    """A chat completion as the client returns it: the text and where it came from."""

    text: str
    model: str
    backend: str
    cache: str
    """`hit`, `miss` or `coalesced`."""
    request_hash: str
    usage: Usage


class Recording(Record):
    """A recorded answer to a question."""

    question_id: str
    question: str
    completion: str
    model: str = "recorded"
    sample_index: int = 0
    """Position among several recorded answers to one question."""


class RecordingsRequest(Record):
    """Recorded answers for a backend of kind `replay` or `gold`; an equal key is overwritten."""

    backend: str
    recordings: list[Recording]


class RecordingsResponse(Record):
    stored: int


class Backend(Record):
    """A configured backend, without its key."""

    name: str
    kind: str
    model: str
    fallback: list[str]
    active: bool
    missing: str = ""
    """What keeps the backend from answering, such as a key that is not set; empty when it can be asked."""


class BackendsResponse(Record):
    backends: list[Backend]


class ActiveBackendRequest(Record):
    name: str
