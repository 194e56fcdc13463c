"""Documents of each kind are read with their places, and hostile ones are refused safely."""

from __future__ import annotations

import io
import time
import zipfile
import zlib
from contextlib import suppress
from itertools import pairwise

import docx
import pytest
from asgiref.sync import async_to_sync

from agents.knowledge import media
from agents.knowledge.media import CSV, DOCX, HTML, MARKDOWN, PDF, TEXT, Unreadable, media_type_of
from agents.knowledge.reading import read


def pieces(data: bytes | str, media_type: str, size: int = 1000, overlap: int = 150):
    return async_to_sync(read)(data.encode() if isinstance(data, str) else data, media_type, size, overlap)


def pdf(*pages: str, before: bytes = b"") -> bytes:
    """A PDF with a line of text on each page."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode())
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    for number, text in enumerate(pages):
        content = b"BT /F1 12 Tf 72 720 Td (" + text.encode("latin-1") + b") Tj ET"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * number} 0 R"
            " /Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        objects.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (len(content), content))
    return assembled(objects)


def assembled(objects: list[bytes]) -> bytes:
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    tail = b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, len(out))
    return out + head + table + tail


def word_document() -> bytes:
    document = docx.Document()
    document.add_heading("Leave", 1)
    document.add_heading("Parents", 2)
    document.add_paragraph("Parents have ten days more.")
    table = document.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "Monday", "closed"
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def archive(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(name.replace("__", "/"), data)
    return out.getvalue()


def with_document(xml: bytes) -> bytes:
    """A DOCX with this in the place of its main part."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(word_document())) as source, zipfile.ZipFile(out, "w", 8) as made:
        for member in source.infolist():
            data = xml if member.filename == "word/document.xml" else source.read(member)
            made.writestr(member.filename, data)
    return out.getvalue()


# --- what is read ---


def test_reads_markdown_with_headings_and_lines():
    [piece] = pieces("# Leave\n\n## Parents\n\nParents have ten\ndays more.\n", MARKDOWN)
    assert (piece.text, piece.heading) == ("Parents have ten\ndays more.", "Leave › Parents")
    assert (piece.first_line, piece.last_line) == (5, 6)


def test_takes_no_comment_in_code_for_a_heading():
    [piece] = pieces("# Setup\n\n```sh\n# not a heading\n\nmake run\n```\n", MARKDOWN)
    assert (piece.heading, "# not a heading" in piece.text) == ("Setup", True)


def test_reads_html_without_what_is_not_shown():
    page = (
        "<!doctype html><html><head><title>x</title><style>p{}</style></head><body><script>alert(1)</script>"
        "<h1>Leave</h1><p>Thirty <b>days</b> a year.</p><table><tr><td>May</td><td>closed</td></tr></table>"
        "<p>After.</p></body></html>"
    )
    found = pieces(page, HTML)
    text = "\n".join(piece.text for piece in found)
    assert found[0].heading == "Leave"
    assert "Thirty days a year." in text
    assert "May | closed" in text
    assert "After." in text
    assert "alert" not in text
    assert "p{}" not in text


def test_reads_a_pdf_with_its_pages():
    found = pieces(pdf("Thirty days of leave.", "Ten more for parents."), PDF)
    assert [(piece.text, piece.page) for piece in found] == [
        ("Thirty days of leave.", 1),
        ("Ten more for parents.", 2),
    ]


def test_reads_docx_with_headings_and_tables():
    found = pieces(word_document(), DOCX)
    assert found[0].heading == "Leave › Parents"
    assert "Parents have ten days more." in found[0].text
    assert "Monday | closed" in found[0].text


def test_reads_csv_with_the_names_of_columns():
    [piece] = pieces("name;days\nAlice;30\nBob;28\n", CSV)
    assert piece.text == "name: Alice; days: 30\n\nname: Bob; days: 28"
    assert (piece.first_line, piece.last_line) == (2, 3)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_reads_texts_in_several_encodings(encoding):
    text = "每位员工每年有三十天的带薪休假。请在休假之前两周提出申请，并得到主管的批准。" * 3
    [piece] = pieces(text.encode(encoding), TEXT)
    assert piece.text == text


def test_cuts_between_sentences_and_never_in_a_word():
    text = " ".join(f"Sentence number{number} is here." for number in range(400))
    found = pieces(text, TEXT, size=300, overlap=60)
    assert all(len(piece.text) <= 300 for piece in found)
    assert all(piece.text.startswith("Sentence") and piece.text.endswith(".") for piece in found)
    # Nothing is lost, and neighbours share something.
    assert {f"number{number}" for number in range(400)} <= set(" ".join(p.text for p in found).split())
    assert all(one.text.split()[-1] in other.text for one, other in pairwise(found))


def test_cuts_text_without_spaces():
    found = pieces("三" * 5000, TEXT, size=1000, overlap=100)
    assert max(len(piece.text) for piece in found) <= 1000


# --- what it is, by its bytes ---


@pytest.mark.parametrize(
    ("data", "name", "kind"),
    [
        (b"Hello", "a.txt", TEXT),
        (b"Hello", "../../etc/passwd", TEXT),
        (b"# Hello", "a.md", MARKDOWN),
        (b"a,b\n1,2", "a.csv", CSV),
        (b"  <!DOCTYPE html><p>x", "a.txt", HTML),
        (b"%PDF-1.7 ...", "a.txt", PDF),
        (word_document(), "a.pdf", DOCX),
    ],
)
def test_tells_the_kind_by_the_bytes(data, name, kind):
    assert media_type_of(io.BytesIO(data), name) == kind


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"\x89PNG\r\n\x1a\n\0\0", "none of the kinds"),
        (b"\x7fELF\0\0", "none of the kinds"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "old version of Office"),
        (b"{\\rtf1 x}", "RTF"),
        (archive(a=b"x"), "only DOCX"),
        (b"PK\x03\x04" + b"x" * 500, "cannot be read"),
        (b"PK\x05\x06" + b"\xff" * 18, "cannot be read"),
    ],
)
def test_refuses_other_kinds(data, said):
    with pytest.raises(Unreadable, match=said):
        media_type_of(io.BytesIO(data), "report.pdf")


# --- hostile files ---

BODY = (
    '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
    "<w:body><w:p><w:r><w:t>a %s b</w:t></w:r></w:p></w:body></w:document>"
)


def test_refuses_a_zip_bomb_before_it_unpacks():
    bomb = archive(**{"[Content_Types].xml": b"<x/>", "word__document.xml": b" " * 60_000_000})
    assert len(bomb) < 100_000
    with pytest.raises(Unreadable, match="far more than it seems"):
        pieces(bomb, DOCX)


def test_expands_no_entities():
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    xml = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "lol">{laughs}]>{BODY % "&l9;"}'
    with pytest.raises(Unreadable):
        pieces(with_document(xml.encode()), DOCX)


def test_reads_no_files_of_the_machine():
    xml = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>{BODY % "&f;"}'
    try:
        text = "".join(piece.text for piece in pieces(with_document(xml.encode()), DOCX))
    except Unreadable:
        text = ""
    assert "root:" not in text


def test_survives_html_that_is_nested_without_end():
    started = time.monotonic()
    with suppress(Unreadable):
        pieces(b"<html><body>" + b"<div>" * 200_000 + b"deep", HTML)
    assert time.monotonic() - started < 10


def test_refuses_a_pdf_that_unpacks_without_end(settings):
    settings.DOCUMENT_PARSE_MEMORY, settings.DOCUMENT_PARSE_SECONDS = 400_000_000, 20
    stream = zlib.compress(b"\0" * 600_000_000, 9)
    content = b"<< /Length %d /Filter /FlateDecode >>\nstream\n%b\nendstream" % (len(stream), stream)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << >> >>",
        content,
    ]
    with pytest.raises(Unreadable):
        pieces(assembled(objects), PDF)


def test_refuses_pages_that_contain_each_other():
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 99999999 >>",
    ]
    with pytest.raises(Unreadable):
        pieces(assembled(objects), PDF)


def test_refuses_what_is_only_called_a_pdf():
    with pytest.raises(Unreadable, match="damaged"):
        pieces(b"%PDF-1.7\n" + b"nonsense " * 1000, PDF)


def test_says_that_scanned_pages_have_no_text():
    with pytest.raises(Unreadable, match="no text"):
        pieces(pdf(""), PDF)


def test_gives_up_after_its_time(settings, monkeypatch):
    settings.DOCUMENT_PARSE_SECONDS = 1
    started = time.monotonic()
    with pytest.raises(Unreadable, match=r"1 seconds|more time"):
        pieces(b"<html>" + b"<p>x" * 4_000_000, HTML)
    assert time.monotonic() - started < 10


def test_the_reader_sees_nothing_of_the_environment(monkeypatch):
    from agents.knowledge import reading

    assert not {"SECRET_KEY", "DATABASE_URL", "OPENAI_API_KEY", "HOME", "PATH"} & set(reading.KEPT_VARIABLES)


def test_every_kind_has_a_name():
    assert set(media.KINDS) == {TEXT, MARKDOWN, HTML, PDF, DOCX, CSV}
