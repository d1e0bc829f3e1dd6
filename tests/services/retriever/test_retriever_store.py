import multiprocessing
from pathlib import Path

import pytest

from askback.contracts.errors import Conflict, NotFound
from services.retriever.storage.store import FORMAT, IndexStore, Manifest
from services.retriever.vectors.facts import VectorFacts
from services.retriever.vectors.settings import Layout

VECTORS = VectorFacts(layout=Layout.EXACT, count=1, dimension=2, bytes_per_vector=8, disk_bytes_per_vector=8, seed=0, files={})
MANIFEST = Manifest(format=FORMAT, count=1, checksum="c", embedder="e", passage_prefix="", dimension=2, vectors=VECTORS, files={})


def publish(store: IndexStore, name: str, content: str) -> None:
    def build(folder: Path) -> Manifest:
        assert not (folder / "manifest.json").exists()
        (folder / "data").write_text(content)
        return MANIFEST

    with store.writing(name):
        store.publish(name, build)


def test_a_published_index_is_listed_and_read(tmp_path: Path) -> None:
    store = IndexStore(tmp_path / "not" / "yet")
    assert store.names() == []
    publish(store, "wiki", "one")
    assert store.names() == ["wiki"]
    assert (tmp_path / "not" / "yet" / "wiki" / "data").read_text() == "one"
    assert store.manifest(store.folder("wiki")) == MANIFEST


def test_a_build_that_fails_leaves_the_old_index_and_no_rest(tmp_path: Path) -> None:
    store = IndexStore(tmp_path)
    publish(store, "wiki", "old")

    def fail(folder: Path) -> Manifest:
        assert (tmp_path / "wiki" / "data").read_text() == "old"  # still served while the new one is built
        (folder / "data").write_text("half")
        raise RuntimeError("embedder died")

    with store.writing("wiki"), pytest.raises(RuntimeError, match="embedder died"):
        store.publish("wiki", fail)
    assert (tmp_path / "wiki" / "data").read_text() == "old"
    assert [path.read_text() for path in tmp_path.rglob("data") if not path.is_symlink()] == ["old"]


def test_a_new_build_replaces_the_old_and_removes_it(tmp_path: Path) -> None:
    store = IndexStore(tmp_path)
    publish(store, "wiki", "old")
    before = store.folder("wiki")
    publish(store, "wiki", "new")
    assert store.folder("wiki") != before
    assert not before.exists()
    assert (store.folder("wiki") / "data").read_text() == "new"


def test_indexes_move_with_their_root(tmp_path: Path) -> None:
    publish(IndexStore(tmp_path / "a"), "wiki", "one")
    (tmp_path / "a").rename(tmp_path / "b")
    moved = IndexStore(tmp_path / "b")
    assert (moved.folder("wiki") / "data").read_text() == "one"


def test_a_copied_folder_is_an_index_and_can_be_replaced(tmp_path: Path) -> None:
    store = IndexStore(tmp_path)
    (tmp_path / "wiki").mkdir()
    (tmp_path / "wiki" / "manifest.json").write_text(MANIFEST.model_dump_json())
    assert store.manifest(store.folder("wiki")) == MANIFEST
    publish(store, "wiki", "new")
    assert (tmp_path / "wiki" / "data").read_text() == "new"


@pytest.mark.parametrize("name", ["other", "../outside", ".builds", "", ".", "wiki/../wiki"])
def test_names_outside_the_listing_are_not_found(tmp_path: Path, name: str) -> None:
    store = IndexStore(tmp_path / "root")
    (tmp_path / "outside").mkdir()
    publish(store, "wiki", "one")
    with pytest.raises(NotFound, match="known indexes: wiki"):
        store.folder(name)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "manifest.json is missing, so its build did not end"),
        ("{", "is not a manifest of format 2"),
        ("[]", "is not a manifest of format 2"),
        (MANIFEST.model_copy(update={"metric": "l2"}).model_dump_json(warnings=False), "is not a manifest of format 2"),
        (MANIFEST.model_copy(update={"format": 3}).model_dump_json(), "has format 3, this service reads format 2"),
    ],
)
def test_a_folder_without_a_sound_manifest_is_refused(tmp_path: Path, content: str | None, reason: str) -> None:
    (tmp_path / "wiki").mkdir()
    if content is not None:
        (tmp_path / "wiki" / "manifest.json").write_text(content)
    with pytest.raises(Conflict, match=reason):
        IndexStore(tmp_path).manifest(tmp_path / "wiki")


def hold(root: str, held: "multiprocessing.synchronize.Event", release: "multiprocessing.synchronize.Event") -> None:
    with IndexStore(Path(root)).writing("wiki"):
        held.set()
        release.wait(20)
        (Path(root) / "first").touch()


def test_writers_in_other_processes_wait_their_turn(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(str(tmp_path), held, release))
    other.start()
    assert held.wait(20)
    release.set()
    with IndexStore(tmp_path).writing("wiki"):
        assert (tmp_path / "first").exists()
    other.join(20)
    assert other.exitcode == 0
