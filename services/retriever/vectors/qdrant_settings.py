"""Where a Qdrant is, and how it is to keep a collection."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, SecretStr, ValidationError

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Record


class QdrantSettings(Record):
    """`url` is http(s)://HOST:6333, or a folder or `:memory:` for the client's own engine, which is meant for tests."""

    url: str = Field(min_length=1)
    key: SecretStr | None = None
    collection: str = Field(default="askback", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    shards: int = Field(default=1, ge=1)
    replicas: int = Field(default=1, ge=1)
    quantisation: Literal["none", "int8", "binary"] = "int8"
    """The form that is kept in memory; whole vectors lie on disk and order the best again."""
    ef: int = Field(default=128, ge=1)
    """Candidates that a search keeps while it walks the graph: more find more and take longer."""
    timeout_s: int = Field(default=30, ge=1)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "QdrantSettings | None":
        """Read the variables QDRANT_URL, QDRANT_KEY and so on; None without a QDRANT_URL. Raises InvalidInput naming the variable."""
        if not environment.get("QDRANT_URL"):
            return None
        given = {field: environment[f"QDRANT_{field.upper()}"] for field in cls.model_fields if environment.get(f"QDRANT_{field.upper()}")}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            raise InvalidInput(f"QDRANT_{str(first['loc'][0]).upper()}: {first['msg'].lower()}") from error
