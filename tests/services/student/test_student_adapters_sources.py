"""Adapters from a folder and from a URL: what is copied, what is kept, what is refused."""

from pathlib import Path

import fsspec
import pytest
from adapter_files import lora_bytes

from askback.contracts.errors import InvalidInput, UpstreamUnavailable
from services.student.adapter_folders import LocalFolders, adapters_at, digest_of
from services.student.fsspec_adapters import FsspecAdapters

CONFIG = b'{"base_model_name_or_path": "Smol", "r": 8}'


@pytest.fixture
def bucket(request: pytest.FixtureRequest) -> str:
    """A folder of the memory file system with the adapter r/a."""
    root = f"/{request.node.name}"
    put(f"{root}/r/a/adapter_config.json", CONFIG)
    put(f"{root}/r/a/adapter_model.safetensors", lora_bytes(b"one"))
    put(f"{root}/r/a/optimizer.pt", b"not for us")
    return f"memory:/{root}"


def put(path: str, content: bytes) -> None:
    fsspec.filesystem("memory").pipe_file(path, content)


def test_the_two_files_that_are_needed_are_copied_and_no_other(bucket: str, tmp_path: Path) -> None:
    folder = adapters_at(bucket, tmp_path).fetch("r/a")
    assert {path.name for path in folder.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    assert (folder / "adapter_model.safetensors").read_bytes() == lora_bytes(b"one")
    assert list(tmp_path.iterdir()) == [folder]


def test_a_known_digest_is_served_from_the_cache_when_the_source_is_gone(bucket: str, tmp_path: Path) -> None:
    source = adapters_at(bucket, tmp_path)
    folder = source.fetch("r/a")
    fsspec.filesystem("memory").rm(bucket.removeprefix("memory:/"), recursive=True)
    assert source.fetch("r/a", digest_of(folder)) == folder
    with pytest.raises(InvalidInput, match=r"r/a has no adapter_config\.json"):
        source.fetch("r/a")


def test_other_weights_get_another_folder(bucket: str, tmp_path: Path) -> None:
    source = adapters_at(bucket, tmp_path)
    first = source.fetch("r/a")
    put(bucket.removeprefix("memory:/") + "/r/a/adapter_model.safetensors", lora_bytes(b"two"))
    assert source.fetch("r/a") != first
    assert digest_of(first) != digest_of(source.fetch("r/a"))


@pytest.mark.parametrize("path", ["../a", "/r/a", "r/../a", "", ".", "r//a", "r/a/", "r/*", "r?x", "simplecache::memory://x", "a\0b", "r/a\n"])
def test_paths_outside_and_patterns_are_refused(bucket: str, tmp_path: Path, path: str) -> None:
    with pytest.raises(InvalidInput, match="outside the adapters folder"):
        adapters_at(bucket, tmp_path).fetch(path)


def test_what_is_too_large_is_not_kept(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="larger than 100 bytes"):
        FsspecAdapters(bucket, tmp_path, max_bytes=100).fetch("r/a")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_grows_while_it_is_read_is_cut_off(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = FsspecAdapters(bucket, tmp_path, max_bytes=100)
    monkeypatch.setattr(source._files, "info", lambda path: {"size": 1})
    with pytest.raises(InvalidInput, match="larger than 100 bytes"):
        source.fetch("r/a")


def test_what_a_killed_copy_left_is_cleared_away(bucket: str, tmp_path: Path) -> None:
    (tmp_path / ".partial-x").mkdir()
    (tmp_path / ".partial-x" / "adapter_config.json").touch()
    adapters_at(bucket, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_fails_is_not_the_caller_s_mistake(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = FsspecAdapters(bucket, tmp_path)

    def refuse(path: str, mode: str) -> None:
        raise PermissionError("denied")

    monkeypatch.setattr(source._files, "open", refuse)
    with pytest.raises(UpstreamUnavailable, match="cannot be read: PermissionError: denied"):
        source.fetch("r/a")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_protocol_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="ADAPTERS_DIR: nope://"):
        adapters_at("nope://bucket", tmp_path)


def test_a_folder_and_a_file_url_are_folders(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for place in (str(tmp_path), f"file://{tmp_path}"):
        source = adapters_at(place, tmp_path / "cache")
        assert isinstance(source, LocalFolders)
        assert source.fetch("a") == tmp_path / "a"


def test_links_that_lead_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    root, secret = tmp_path / "root", tmp_path / "secret"
    (root / "a").mkdir(parents=True)
    secret.mkdir()
    (root / "link").symlink_to(secret)
    (root / "a" / "adapter_model.safetensors").symlink_to(secret / "weights")
    (root / "inside").symlink_to(root / "b")
    for path in ("link", "a", str(root / "b"), "a\0b"):
        with pytest.raises(InvalidInput, match="outside"):
            LocalFolders(root).fetch(path)
    assert LocalFolders(root).fetch("inside") == root / "b"
