"""What a file is, by its bytes. What its name says counts only among kinds of text, which bytes cannot tell apart."""

from __future__ import annotations

import codecs
import re
import struct
import zipfile
from typing import IO

TEXT, MARKDOWN, HTML, CSV = "text/plain", "text/markdown", "text/html", "text/csv"
PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
KINDS = {
    TEXT: "text",
    MARKDOWN: "Markdown",
    HTML: "HTML",
    PDF: "PDF",
    DOCX: "DOCX",
    CSV: "CSV",
}
"""Media types that can be read, with their names."""

HEAD = 4096
MOST_MEMBERS = 5_000
_ENDINGS = {
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".csv": CSV,
    ".tsv": CSV,
    ".htm": HTML,
    ".html": HTML,
    ".xhtml": HTML,
}
_PAGE = re.compile(
    rb"(?i)\A\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.S
)
_BOMS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CONTROL = frozenset(range(32)) - frozenset(b"\t\n\r\f\x1b")
_END_OF_ZIP = b"PK\x05\x06"


class Unreadable(Exception):
    """A file that cannot be read. The message is for whoever has sent it."""


def media_type_of(file: IO[bytes], name: str) -> str:
    """One of KINDS. Raises Unreadable for everything else. `file` is read from its beginning, and not closed."""
    file.seek(0)
    head = file.read(HEAD)
    if not head:
        raise Unreadable("The file is empty.")
    if b"%PDF-" in head[:1024]:
        return PDF
    if head.startswith(b"PK"):
        return _type_of_archive(file)
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        raise Unreadable("This is a file of an old version of Office. Save it as DOCX or PDF.")
    if head.startswith(b"{\\rtf"):
        raise Unreadable("This is an RTF file. Save it as DOCX or PDF.")
    if not head.startswith(_BOMS) and (
        b"\0" in head or sum(byte in _CONTROL for byte in head) > len(head) // 100
    ):
        known = ", ".join(KINDS.values())
        raise Unreadable(f"This is none of the kinds that can be read: {known}.")
    if _PAGE.match(head.removeprefix(codecs.BOM_UTF8)):
        return HTML
    dot = name.rfind(".")
    return _ENDINGS.get(name[dot:].lower(), TEXT) if dot >= 0 else TEXT


def _type_of_archive(file: IO[bytes]) -> str:
    """Its list of members is read where it says that it is short."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 66_000))
    tail = file.read()
    place = tail.rfind(_END_OF_ZIP)
    if place < 0 or len(tail) < place + 12 or struct.unpack_from("<H", tail, place + 10)[0] > MOST_MEMBERS:
        raise Unreadable("This archive cannot be read. Of archives, only DOCX documents can.")
    try:
        with zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise Unreadable("This archive is damaged. Of archives, only DOCX documents can be read.") from error
    if {"[Content_Types].xml", "word/document.xml"} <= names:
        return DOCX
    raise Unreadable("Of archives, only DOCX documents can be read, and this is none. Send the files in it.")
