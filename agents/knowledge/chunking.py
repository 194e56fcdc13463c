"""Cuts what was read of a document into chunks: at headings, then at paragraphs, sentences, lines, words."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

HEADING_SEPARATOR = " › "


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph of a document, and where it stands. `line` is that of its first character; 0: lines mean nothing."""

    text: str
    headings: tuple[str, ...] = ()
    page: int = 0
    line: int = 0

    @property
    def section(self) -> tuple[tuple[str, ...], int]:
        return self.headings, self.page


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk, and where it stands; lines and page are 0 where they mean nothing."""

    text: str
    heading: str
    page: int
    first_line: int
    last_line: int


# Where a text is cut best, the best first: after a paragraph, a sentence, a line, a word.
_CUTS = (
    re.compile(r"\n\n+"),
    re.compile(r"(?<=[.!?;:])\s+|(?<=[。！？；])"),
    re.compile(r"\n"),
    re.compile(r"\s+|(?<=[\u3000-\u303f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uff00-\uffef])"),
)


def chunks(blocks: Iterable[Block], size: int, overlap: int) -> Iterator[Piece]:
    """Pieces of at most `size` characters, each beginning about `overlap` characters before the last one's end.

    A piece holds paragraphs under one heading and on one page. Words are cut only where one is longer than a piece.
    """
    for (headings, page), members in groupby(blocks, key=lambda block: block.section):
        yield from _of_section(list(members), HEADING_SEPARATOR.join(headings), page, size, overlap)


def _of_section(blocks: list[Block], heading: str, page: int, size: int, overlap: int) -> Iterator[Piece]:
    starts, place = [], 0
    for block in blocks:
        starts.append(place)
        place += len(block.text) + 2
    text = "\n\n".join(block.text for block in blocks)

    def line_at(offset: int) -> int:
        number = bisect.bisect_right(starts, offset) - 1
        block = blocks[number]
        return block.line + block.text.count("\n", 0, offset - starts[number]) if block.line else 0

    start = 0
    while start < len(text):
        end = len(text) if len(text) - start <= size else _cut(text, start + size // 2, start + size)
        said = text[start:end]
        if shown := said.strip():
            first = start + len(said) - len(said.lstrip())
            yield Piece(shown, heading, page, line_at(first), line_at(first + len(shown) - 1))
        if end >= len(text):
            return
        start = max(start + 1, _begin(text, end, overlap))


def _cut(text: str, earliest: int, latest: int) -> int:
    """The best place to end a piece; at last the longest that it may be."""
    for kind in _CUTS:
        if places := [match.end() for match in kind.finditer(text, earliest, latest)]:
            return places[-1]
    before = text.rfind(" ", earliest - (latest - earliest), earliest)
    return before + 1 if before > 0 else latest


def _begin(text: str, end: int, overlap: int) -> int:
    """Where the next piece begins: at the first sentence or word of the overlap."""
    earliest = end - overlap
    for kind in _CUTS[1:]:
        if match := kind.search(text, earliest, end):
            return match.end()
    return end
