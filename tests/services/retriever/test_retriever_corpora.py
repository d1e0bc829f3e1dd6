import bz2
import io
import json
import tarfile
from pathlib import Path

import pytest

from askback.contracts.errors import InvalidInput
from services.retriever.corpora.distractor import Distractor
from services.retriever.corpora.hotpotqa_wiki import HotpotqaWiki
from services.retriever.corpora.jsonl import Jsonl
from services.retriever.corpora.source import Source, fingerprint


def wiki(path: Path, members: int = 3) -> Path:
    """A dump as the official one is packed: bz2 files of JSON lines in a tar that is packed with bz2 itself."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for number in range(members):
            pages = [
                {
                    "id": str(10 * number + row),
                    "url": "https://en.wikipedia.org/wiki?curid=1",
                    "title": f"Page {number}.{row}",
                    "text": [f'The <a href="x">first</a> of {row}.', " And more."],
                    "charoffset": [[[0, 3]]],
                    "text_with_links": ["…"],
                }
                for row in range(2)
            ]
            packed = bz2.compress("".join(json.dumps(page) + "\n" for page in pages).encode())
            member = tarfile.TarInfo(f"enwiki/AA/wiki_{number:02}.bz2")
            member.size = len(packed)
            tar.addfile(member, io.BytesIO(packed))
    path.write_bytes(bz2.compress(content.getvalue()))
    return path


def all_of(source: Source, skip: int = 0) -> list[str]:
    return [passage.id for block in source.blocks(skip) for passage in block.passages]


def test_the_official_dump_is_read_page_by_page(tmp_path: Path) -> None:
    blocks = list(HotpotqaWiki(wiki(tmp_path / "w.tar.bz2")).blocks(0))
    assert [len(block.passages) for block in blocks] == [2, 2, 2]
    first = blocks[0].passages[0]
    assert (first.id, first.title, first.text) == ("0", "Page 0.0", "The first of 0. And more.")
    assert blocks[-1].at <= (tmp_path / "w.tar.bz2").stat().st_size


def test_whole_pages_give_their_introduction(tmp_path: Path) -> None:
    content, page = io.BytesIO(), {"id": 12, "title": "Anarchism", "text": [["Anarchism"], ["It is.", " So."], ["Later."]]}
    with tarfile.open(fileobj=content, mode="w") as tar:
        packed = bz2.compress(json.dumps(page).encode())
        member = tarfile.TarInfo("a.bz2")
        member.size = len(packed)
        tar.addfile(member, io.BytesIO(packed))
    (tmp_path / "w.tar").write_bytes(content.getvalue())
    (passage,) = next(HotpotqaWiki(tmp_path / "w.tar").blocks(0)).passages
    assert (passage.id, passage.sentences) == ("12", ["It is.", " So."])


def distractor(path: Path, rows: int) -> Path:
    row = [{"_id": str(row), "context": [["Shared", ["s"]], [f"Own {row}", ["ä" * 3000, " b"]]]} for row in range(rows)]
    path.write_text(json.dumps(row, indent=1, ensure_ascii=False), encoding="utf-8")
    return path


def test_a_distractor_file_gives_each_title_once(tmp_path: Path) -> None:
    read = all_of(Distractor(distractor(tmp_path / "d.json", 500)))  # larger than what is read at a time
    assert read == ["Shared", *(f"Own {row}" for row in range(500))]


def test_lines_may_hold_text_or_sentences(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text('{"id": 1, "text": "a\u2028b", "more": 1}\n\n{"id": "2", "title": "T", "sentences": ["a", "b"]}')
    passages = next(Jsonl(path).blocks(0)).passages
    assert [(passage.id, passage.title, passage.text) for passage in passages] == [("1", "", "a\u2028b"), ("2", "T", "ab")]


@pytest.mark.parametrize("skip", [0, 1, 2, 3, 9])
def test_what_is_passed_over_does_not_change_the_rest(tmp_path: Path, skip: int) -> None:
    lines = tmp_path / "c.jsonl"
    lines.write_text("".join(f'{{"id": "{row}", "text": "x"}}\n' for row in range(4500)))
    for source in (HotpotqaWiki(wiki(tmp_path / "w.tar.bz2")), Jsonl(lines), Distractor(distractor(tmp_path / "d.json", 500))):
        blocks = [[passage.id for passage in block.passages] for block in source.blocks(0)]
        assert len(blocks) == 3
        assert all_of(source, skip) == [passage for block in blocks[skip:] for passage in block]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_cut_dump_is_refused_in_one_line(tmp_path: Path, share: float) -> None:
    path = wiki(tmp_path / "w.tar.bz2", members=20)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(InvalidInput, match=r"w\.tar\.bz2 is cut or damaged .*; download it again") as error:
        all_of(HotpotqaWiki(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"not a dump", b"BZh9 but no more", bz2.compress(b"no tar")])
def test_what_is_no_dump_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.tar.bz2").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"w\.tar\.bz2"):
        all_of(HotpotqaWiki(tmp_path / "w.tar.bz2"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{}", "is not a JSON list"),
        ('[{"context": []}', "cut or damaged"),
        ('[{"context": [["A", ["b"', "cut or damaged"),
        ('[{"context": 3}]', "`context` must list"),
        ('[{"question": "q"}]', "`context` must list"),
        (b"[\xff]", "cannot be read"),
    ],
)
def test_a_damaged_distractor_file_is_refused(tmp_path: Path, content: str | bytes, reason: str) -> None:
    path = tmp_path / "d.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InvalidInput, match=rf"d\.json.*{reason}"):
        all_of(Distractor(path))


@pytest.mark.parametrize("line", ["{", "[]", '{"id": "1"}', '{"id": "1", "sentences": "text"}', '{"id": "1", "text": 3}'])
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text(f'{{"id": "0", "text": "a"}}\n{line}\n')
    with pytest.raises(InvalidInput, match=r"c\.jsonl:2: a passage needs id"):
        all_of(Jsonl(path))


def test_a_file_is_known_by_its_kind_size_and_ends(tmp_path: Path) -> None:
    one, other = tmp_path / "a", tmp_path / "b"
    one.write_bytes(b"abc")
    other.write_bytes(b"abd")
    assert len({fingerprint(Jsonl(one)), fingerprint(Jsonl(other)), fingerprint(Distractor(one))}) == 3
    for path, reason in ((tmp_path / "none", "cannot be read"), (tmp_path / "empty", "is empty")):
        (tmp_path / "empty").touch()
        with pytest.raises(InvalidInput, match=reason):
            fingerprint(Jsonl(path))
