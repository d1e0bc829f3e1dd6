"""Re-ranking with a cross-encoder by sentence-transformers."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from askback.contracts.errors import InvalidInput


class SentenceTransformersReranker:
    """A loaded CrossEncoder."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reranker")  # its tokenizer may not be used by two at once

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        """The model's scores; texts are cut at its longest input."""
        if not texts:
            return []
        pairs = [(query, text) for text in texts]
        scores: list[float] = self._thread.submit(lambda: self._model.predict(pairs, show_progress_bar=False).tolist()).result()
        return scores


def load_reranker(settings: Mapping[str, str]) -> SentenceTransformersReranker | None:
    """The model that RERANKER names, a folder or a name on the hub; None when it is empty. Raises InvalidInput when it cannot be loaded."""
    name = settings.get("RERANKER", "")
    if not name:
        return None

    from sentence_transformers import CrossEncoder

    try:
        model = CrossEncoder(name, device=settings.get("EMBEDDER_DEVICE", "cpu"), model_kwargs={"use_safetensors": True}, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InvalidInput(f"RERANKER: {name} cannot be loaded ({reason}); name a folder, or a model that is in the hub's cache") from error
    if model.num_labels != 1:
        raise InvalidInput(f"RERANKER: {name} gives {model.num_labels} scores a passage, not one; name a model for ranking")
    return SentenceTransformersReranker(model)
