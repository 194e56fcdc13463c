"""Finds things by the names that people and models give them, and suggests the nearest where there is none."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from agents.tools.base import ToolFault

Item = TypeVar("Item")
MOST_SUGGESTIONS = 3
FEW = 20
"""So many names are listed where nothing is near."""
SHORTEST_PART = 3
"""Letters that a part of a name needs to stand for the whole."""
SURENESS = 0.6
"""How alike a suggestion has to be, 0 to 1."""


class Names(Generic[Item]):
    """Items of one kind, `kind` in the singular, by their names: the first name of each is the one to show."""

    def __init__(self, kind: str, named: Iterable[tuple[Item, Iterable[str]]]) -> None:
        self._kind = kind
        self._items: dict[str, Item] = {}
        self._shown: dict[str, str] = {}
        for item, names in named:
            self._add(item, [name for name in names if name])

    def _add(self, item: Item, names: list[str]) -> None:
        for name in names:
            self._items.setdefault(plain(name), item)
            self._shown.setdefault(plain(name), names[0])

    def find(self, text: str) -> Item:
        """The item of that name, or the only one whose name has it as a part. Raises ToolFault with suggestions."""
        wanted = plain(text)
        if wanted in self._items:
            return self._items[wanted]
        shown = self._shown_with_part(wanted)
        if len(shown) == 1:
            return self._items[plain(shown[0])]
        raise ToolFault(f"There is no {self._kind} {text!r}. {self._suggestion(wanted, shown)}")

    def _shown_with_part(self, wanted: str) -> list[str]:
        if len(wanted) < SHORTEST_PART and wanted.isascii():
            return []
        return list(dict.fromkeys(shown for name, shown in self._shown.items() if wanted and wanted in name))

    def _suggestion(self, wanted: str, parts: list[str]) -> str:
        near = difflib.get_close_matches(wanted, self._shown, MOST_SUGGESTIONS, SURENESS)
        suggested = parts[:MOST_SUGGESTIONS] or list(dict.fromkeys(self._shown[name] for name in near))
        if suggested:
            return f"Did you mean {' or '.join(map(repr, suggested))}?"
        shown = list(dict.fromkeys(self._shown.values()))
        more = ", …" if len(shown) > FEW else ""
        return f"Known are: {', '.join(shown[:FEW])}{more}."


def plain(text: str) -> str:
    """A name without what does not matter: case, accents, punctuation, an English plural, "the".

    Chinese is kept as it is, without spaces around it.
    """
    letters = unicodedata.normalize("NFKD", text.casefold())
    words = "".join(letter if letter.isalnum() else " " for letter in letters if not _is_accent(letter))
    return " ".join(_singular(word) for word in words.split() if word != "the")


def _is_accent(letter: str) -> bool:
    return unicodedata.combining(letter) != 0


def _singular(word: str) -> str:
    """`panels` as `panel`: not grammar, only the same for both."""
    return word[:-1] if len(word) > SHORTEST_PART and word.endswith("s") and not word.endswith("ss") else word


def by_code(codes: Mapping[str, Item], text: str) -> Item | None:
    """The item of a code that is written with or without dots, or None."""
    return codes.get(text.replace(".", "").replace(" ", ""))
