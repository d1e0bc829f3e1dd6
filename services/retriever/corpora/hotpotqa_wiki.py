"""HotpotQA's Wikipedia: a tar, itself packed with bz2, of bz2 files of JSON lines, one page with its introduction a line."""

import bz2
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Passage
from services.retriever.corpora.source import Block

_LINK = re.compile(r"</?a\b[^>]*>")


class HotpotqaWiki:
    """`enwiki-20171001-pages-meta-current-withlinks-abstracts.tar.bz2`. A block is one file of the tar; one at a time is unpacked."""

    kind = "wiki"

    def __init__(self, path: Path) -> None:
        self.path = path

    def blocks(self, skip: int) -> Iterator[Block]:
        try:
            with self.path.open("rb") as raw:
                packed: Any = bz2.BZ2File(raw) if raw.read(3) == b"BZh" else raw
                raw.seek(0)
                yield from self._members(packed, raw, skip)
        except (OSError, EOFError, tarfile.TarError) as error:
            raise InvalidInput(f"{self.path} is cut or damaged ({error}); download it again") from error

    def _members(self, packed: Any, raw: IO[bytes], skip: int) -> Iterator[Block]:
        seen = 0
        with tarfile.open(fileobj=packed, mode="r|") as tar:
            for member in tar:
                if not member.isfile() or not member.name.endswith(".bz2"):
                    continue
                seen += 1
                if seen > skip and (file := tar.extractfile(member)):
                    yield Block(self._pages(member.name, bz2.decompress(file.read())), raw.tell())
        if not seen:
            raise InvalidInput(f"{self.path} holds no .bz2 files; name HotpotQA's Wikipedia dump")

    def _pages(self, member: str, lines: bytes) -> list[Passage]:
        passages = []
        for number, line in enumerate(lines.splitlines(), 1):
            try:
                passages.append(_passage(json.loads(line)))
            except (ValueError, KeyError, TypeError) as error:
                raise InvalidInput(f"{self.path}: {member}:{number} is no page with id, title and text ({error}); download it again") from error
        return passages


def _passage(page: dict[str, Any]) -> Passage:
    text = page["text"]
    if text and isinstance(text[0], list):  # whole pages, by paragraphs: the first is the title, the next the introduction
        text = next((paragraph for paragraph in text[1:] if "".join(paragraph).strip()), [])
    return Passage(id=str(page["id"]), title=page["title"], sentences=[_LINK.sub("", sentence) for sentence in text])
