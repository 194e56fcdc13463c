"""Reads documents of each kind into blocks. Runs in a process of its own (`reader`), because files may be hostile."""

from __future__ import annotations

import codecs
import csv
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from agents.knowledge.chunking import Block
from agents.knowledge.media import CSV, DOCX, HTML, MARKDOWN, MOST_MEMBERS, PDF, TEXT, Unreadable

MOST_PAGES = 5_000
MOST_UNPACKED = 200_000_000
"""Bytes of an archive's members together."""
MOST_RATIO = 200
"""How much larger than packed they may be, once they are large."""
LARGE = 10_000_000
LONGEST_HEADING = 200
LONGEST_CELL = 10_000

Headings = dict[int, str]
_ATX = re.compile(r" {0,3}(#{1,6})[ \t]+(.+?)(?:[ \t]+#+)?[ \t]*\Z")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*\Z")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


def blocks_of(data: bytes, media_type: str) -> Iterator[Block]:
    """What a document says. Raises Unreadable, and whatever a library raises for a broken file."""
    yield from _readers[media_type](data)


# --- texts ---


def _decoded(data: bytes) -> str:
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return _guessed(data)


def _guessed(data: bytes) -> str:
    from charset_normalizer import from_bytes

    # A sample decides: looking at all of it takes seconds per megabyte.
    best = from_bytes(data[:100_000]).best()
    return data.decode(best.encoding if best else "latin-1", "replace")


def _text(data: bytes) -> Iterator[Block]:
    for line, text in _paragraphs(_decoded(data).splitlines()):
        yield Block(text, line=line)


def _paragraphs(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Paragraphs with the number of their first line."""
    kept: list[str] = []
    for number, line in enumerate([*lines, ""], 1):
        if line.strip():
            kept.append(line.rstrip())
        elif kept:
            yield number - len(kept), "\n".join(kept)
            kept = []


def _markdown(data: bytes) -> Iterator[Block]:
    headings: Headings = {}
    kept: list[str] = []
    fence = ""
    number = 0

    def block() -> Iterator[Block]:
        if any(line.strip() for line in kept):
            yield Block("\n".join(kept).strip("\n"), _path(headings), line=number - len(kept))
        kept.clear()

    for number, line in enumerate([*_decoded(data).splitlines(), ""], 1):  # noqa: B007 - block() reads it
        if fence:
            kept.append(line)
            if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        elif match := _FENCE.match(line):
            fence = match[1]
            kept.append(line)
        elif match := _ATX.match(line):
            yield from block()
            _enter(headings, len(match[1]), match[2])
        elif len(kept) == 1 and (match := _SETEXT.match(line)) and kept[0].strip():
            _enter(headings, 1 if match[1][0] == "=" else 2, kept.pop())
        elif line.strip():
            kept.append(line.rstrip())
        else:
            yield from block()
    number += 1
    yield from block()


def _enter(headings: Headings, level: int, text: str) -> None:
    """A heading ends those of its own and of lower levels."""
    for other in [other for other in headings if other >= level]:
        del headings[other]
    if said := " ".join(text.split())[:LONGEST_HEADING]:
        headings[level] = said


def _path(headings: Headings) -> tuple[str, ...]:
    return tuple(headings[level] for level in sorted(headings))


def _csv(data: bytes) -> Iterator[Block]:
    """Each row with the names of its columns, so that it can be understood by itself."""
    text = _decoded(data)
    csv.field_size_limit(1_000_000)
    try:
        dialect: Any = csv.Sniffer().sniff(text[:20_000], ",;\t|")
    except csv.Error:
        dialect = csv.excel
    rows = csv.reader(io.StringIO(text, newline=""), dialect)
    names: list[str] | None = None
    line = 1
    try:
        for row in rows:
            if names is None:
                names = [cell.strip() for cell in row]
            elif any(cell.strip() for cell in row):
                yield Block(_row(names, row), line=line)
            line = rows.line_num + 1
    except csv.Error as error:
        raise Unreadable(f"The CSV cannot be read at line {rows.line_num}: {error}.") from error


def _row(names: list[str], row: list[str]) -> str:
    cells = []
    for place, cell in enumerate(row):
        name = names[place] if place < len(names) else ""
        if said := " ".join(cell.split())[:LONGEST_CELL]:
            cells.append(f"{name}: {said}" if name else said)
    return "; ".join(cells)


# --- HTML ---

_SKIPPED = {
    "script",
    "style",
    "noscript",
    "template",
    "svg",
    "math",
    "iframe",
    "object",
    "head",
    "nav",
    "button",
}
_FLOWING = {
    "a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "del", "dfn", "em", "font", "i", "ins", "kbd", "label",
    "mark", "q", "s", "samp", "small", "span", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr", "img", "input",
}  # fmt: skip
_HEADING = re.compile(r"h([1-6])\Z")


def _html(data: bytes) -> Iterator[Block]:
    from lxml import etree

    # Neither the network nor entities, and no trees without bound: these are the parser's own limits.
    parser: Any = etree.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True)
    root = etree.fromstring(_decoded(data).encode("utf-8", "replace"), parser)
    if root is None:
        return
    headings: Headings = {}
    kept: list[str] = []
    hidden = preserved = level = line = 0

    def block() -> Iterator[Block]:
        said = "".join(kept)
        text = (
            said.strip("\n") if preserved else "\n".join(" ".join(part.split()) for part in said.split("\r"))
        )
        kept.clear()
        if text.strip():
            yield Block(text.strip(), _path(headings), line=line)

    for event, element in etree.iterwalk(root, events=("start", "end")):
        tag = element.tag if isinstance(element.tag, str) else ""
        is_start = event == "start"
        if tag in _SKIPPED:
            hidden += 1 if is_start else -1
        elif not hidden and (match := _HEADING.match(tag)):
            if is_start:
                yield from block()
                level = int(match[1])
            else:
                _enter(headings, level, "".join(kept))
                kept.clear()
                level = 0
        elif not hidden and tag in ("td", "th") and not is_start:
            kept.append(" | ")
        elif not hidden and tag == "br" and is_start:
            kept.append("\n" if preserved else "\r")
        elif not hidden and tag not in _FLOWING and tag not in ("td", "th") and not level:
            yield from block()
            if tag == "pre":
                preserved += 1 if is_start else -1
        if hidden == 0 or (hidden == 1 and tag in _SKIPPED and is_start is False):
            said = element.text if is_start else element.tail
            if said:
                if not "".join(kept[-1:]).strip():
                    line = element.sourceline or line
                kept.append(said)
    yield from block()


# --- PDF and DOCX ---


def _pdf(data: bytes) -> Iterator[Block]:
    import pypdf

    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("The PDF is protected by a password. Send it without one.")
        if len(reader.pages) > MOST_PAGES:
            raise Unreadable(f"The PDF has more than {MOST_PAGES:,} pages. Send it in parts.")
        for number, page in enumerate(reader.pages, 1):
            for _, text in _paragraphs(page.extract_text().splitlines()):
                yield Block(text, page=number)
    except pypdf.errors.DependencyError as error:
        raise Unreadable("The PDF is encrypted in a way that cannot be read. Send it without.") from error
    except pypdf.errors.PyPdfError as error:
        raise Unreadable(f"The PDF is damaged: {error}") from error


def _docx(data: bytes) -> Iterator[Block]:
    import docx
    from docx.table import Table

    _check_archive(data)
    headings: Headings = {}
    for member in docx.Document(io.BytesIO(data)).iter_inner_content():
        if isinstance(member, Table):
            yield from (Block(text, _path(headings)) for text in _table(member))
        elif (level := _level(member)) and member.text.strip():
            _enter(headings, level, member.text)
        elif member.text.strip():
            yield Block(member.text.strip(), _path(headings))


def _check_archive(data: bytes) -> None:
    """Before anything is unpacked. A member that lies of its size is cut off there, and its sum is wrong."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except zipfile.BadZipFile as error:
        raise Unreadable("The DOCX document is damaged.") from error
    unpacked, packed = sum(one.file_size for one in members), sum(one.compress_size for one in members)
    if len(members) > MOST_MEMBERS or unpacked > MOST_UNPACKED or unpacked > max(LARGE, MOST_RATIO * packed):
        raise Unreadable("The DOCX document unpacks to far more than it seems to be, so it is not read.")


def _level(paragraph: Any) -> int:
    """Of a heading; 0: it is none. By the style's identifier, which is the same in all languages, or its outline."""
    style = paragraph.style
    if style is None:
        return 0
    if match := re.match(r"(?i)(?:heading|berschrift|标题)\s*([1-9])\Z", f"{style.style_id}".strip()):
        return int(match[1])
    if (style.name or "").lower() == "title":
        return 1
    outline = style.element.find(".//{*}outlineLvl")
    return min(9, int(outline.values()[0]) + 1) if outline is not None and outline.values() else 0


def _table(table: Any) -> Iterator[str]:
    for row in table.rows:
        # A cell that spans several columns is listed for each of them.
        cells = {id(cell._tc): " ".join(cell.text.split())[:LONGEST_CELL] for cell in row.cells}
        if said := " | ".join(text for text in cells.values() if text):
            yield said


_readers: dict[str, Callable[[bytes], Iterator[Block]]] = {
    TEXT: _text,
    MARKDOWN: _markdown,
    HTML: _html,
    CSV: _csv,
    PDF: _pdf,
    DOCX: _docx,
}
