"""The ledger as an Excel workbook, row by row in constant memory.

Counts and amounts are numbers, times are dates of the zone that the header names, since Excel knows no zones. Excel
calculates with 15 digits, so beside `cost` stands `cost_exact`, the same as text. Text is marked as such, as Excel
marks it when somebody types an apostrophe first: no cell is ever a formula, and none needs another character before it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import IO, Any
from zoneinfo import ZoneInfo

import xlsxwriter
from xlsxwriter.worksheet import Worksheet

from agentplatform.lib.decimals import plain
from billing.exports.columns import Column, Kind

# A sheet of Excel has 1,048,576 rows; one is the header.
MOST_ROWS = 1_048_575
LONGEST_TEXT = 32_767
WIDTH = {Kind.CODE: 38, Kind.TEXT: 20, Kind.COUNT: 14, Kind.MONEY: 18, Kind.TIME: 24, Kind.JSON: 30}
EXACT = "cost"


class Workbook:
    """Takes rows with `write`, and is complete after `close`. `folder` is where it keeps its parts until then."""

    def __init__(self, file: IO[bytes], columns: Mapping[str, Column], tz: str, folder: str) -> None:
        settings = {"constant_memory": True, "tmpdir": folder, "use_zip64": True, "remove_timezone": True}
        self._book = xlsxwriter.Workbook(file, settings)
        self._columns = columns
        self._tz = ZoneInfo(tz)
        self._zone = tz
        add = self._book.add_format
        self._bold = add({"bold": True})
        self._text = add({"quote_prefix": True, "num_format": "@"})
        self._formats = {
            Kind.TIME: add({"num_format": "yyyy-mm-dd hh:mm:ss.000"}),
            Kind.MONEY: add({"num_format": "0.00##########"}),
            Kind.COUNT: add({"num_format": "0"}),
        }
        self._sheets = 0
        self._row = 0
        self._sheet = self._next_sheet()

    def write(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[int]:
        """Writes rows of raw values; yields 1 for each, so that the caller can count, and stop."""
        kinds = [(name, column.kind) for name, column in self._columns.items()]
        for row in rows:
            if self._row > MOST_ROWS:
                self._sheet = self._next_sheet()
            place = 0
            for (name, kind), value in zip(kinds, row, strict=True):
                if value is not None:
                    self._write_cell(place, kind, value)
                if name == EXACT:
                    place += 1
                    if value is not None:
                        self._sheet.write_string(self._row, place, plain(value), self._text)
                place += 1
            self._row += 1
            yield 1

    def close(self, about: Mapping[str, str]) -> None:
        """Adds a sheet that says what this is, and finishes the file."""
        sheet = self._book.add_worksheet("About")
        sheet.set_column(0, 0, 24)
        sheet.set_column(1, 1, 60)
        for row, (name, value) in enumerate(about.items()):
            sheet.write_string(row, 0, name, self._bold)
            sheet.write_string(row, 1, value[:LONGEST_TEXT], self._text)
        self._book.close()

    def _write_cell(self, place: int, kind: Kind, value: Any) -> None:
        sheet, row = self._sheet, self._row
        if kind in (Kind.COUNT, Kind.MONEY):
            sheet.write_number(row, place, value, self._formats[kind])
        elif kind is Kind.TIME:
            sheet.write_datetime(row, place, self._local(value), self._formats[kind])
        elif kind is Kind.FLAG:
            sheet.write_boolean(row, place, value)
        elif kind is Kind.CODE:
            sheet.write_string(row, place, str(value))
        elif text := _text(kind, value):
            sheet.write_string(row, place, text[:LONGEST_TEXT], self._text)

    def _local(self, moment: datetime) -> datetime:
        return moment.astimezone(self._tz).replace(tzinfo=None)

    def _next_sheet(self) -> Worksheet:
        self._sheets += 1
        self._row = 1
        sheet = self._book.add_worksheet("Usage" if self._sheets == 1 else f"Usage {self._sheets}")
        sheet.freeze_panes(1, 0)
        for place, (title, kind) in enumerate(self._titles()):
            sheet.set_column(place, place, WIDTH.get(kind, 16))
            sheet.write_string(0, place, title, self._bold)
        return sheet

    def _titles(self) -> Iterator[tuple[str, Kind]]:
        for name, column in self._columns.items():
            yield (f"{name} ({self._zone})" if column.kind is Kind.TIME else name), column.kind
            if name == EXACT:
                yield f"{name}_exact", Kind.MONEY


def _text(kind: Kind, value: Any) -> str:
    if kind is Kind.LIST:
        return ", ".join(value)
    if kind is Kind.JSON:
        return json.dumps(value, ensure_ascii=False) if value else ""
    return str(value)
