"""What README.md, CHANGELOG.md and docs/ say: links lead somewhere, tables are whole, and roles may do what is said."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts.roles import PERMISSIONS, Role, permissions_by_role

PROJECT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md")]
CODE_BLOCK = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
CELL_BORDER = re.compile(r"(?<!\\)\|")
PERMITTED = re.compile(r"^\| `([a-z-]+:[a-z-]+)` \|(.+)\|$", re.MULTILINE)


def prose(document: Path) -> str:
    return CODE_BLOCK.sub("", document.read_text())


def anchors(document: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    count: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#+ +(.+)$", prose(document), re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        found.add(f"{name}-{count[name]}" if count[name] else name)
        count[name] += 1
    return found


def dead_links(document: Path) -> Iterator[str]:
    for link in LINK.findall(CODE.sub("", prose(document))):
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        if "://" not in link and not (target.exists() and (not anchor or anchor in anchors(target))):
            yield link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_has_no_dead_links(document):
    assert list(dead_links(document)) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_has_as_many_cells_in_each_row_of_a_table(document):
    tables = re.findall(r"(?:^\|.*\n)+", prose(document), re.MULTILINE)
    counts = [{len(CELL_BORDER.findall(row)) for row in table.splitlines()} for table in tables]

    assert [table for table, cells in zip(tables, counts, strict=True) if len(cells) > 1] == []


def test_says_what_each_role_may_do():
    said = {
        permission: {role for role, cell in zip(Role, cells.split("|"), strict=True) if cell.strip()}
        for permission, cells in PERMITTED.findall((PROJECT / "docs" / "api.md").read_text())
    }

    assert said == {
        permission: {role for role in Role if permission in permissions_by_role[role]}
        for permission in PERMISSIONS
    }
