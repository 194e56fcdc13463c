"""What is asked for: the format, the columns, and how the programs that read it want it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from agentplatform.lib import time_zones
from agentplatform.lib.errors import Invalid
from billing.exports import columns
from billing.exports.columns import UTC, Column
from billing.usage import Period

FORMATS = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
GZIP = "application/gzip"
DECIMALS = ("point", "comma")
DELIMITERS = {",": ",", ";": ";", "tab": "\t"}
COMPRESSIONS = ("none", "gzip")
DEFAULTS: dict[str, Any] = {
    "bom": False,
    "decimal": "point",
    "delimiter": ",",
    "tz": UTC,
    "compression": "none",
}
OF_CSV = ("bom", "decimal", "delimiter")


@dataclass(frozen=True, slots=True)
class Options:
    """How an export is written. Make it with `of`."""

    format: str = "csv"
    columns: tuple[str, ...] = ()
    bom: bool = False
    """A byte order mark, by which Excel knows UTF-8."""
    decimal: str = "point"
    delimiter: str = ","
    tz: str = UTC
    compression: str = "none"

    @classmethod
    def of(cls, values: Mapping[str, Any], prefix: str = "") -> Options:
        """Checked. `prefix` stands before the names of what is wrong. Raises Invalid."""
        names = {field.name for field in fields(cls)}
        given = {name: value for name, value in values.items() if name in names}
        found = cls(**{**given, "columns": tuple(given.get("columns", ()))})
        columns.chosen(found.columns)
        found._require_fitting(prefix)
        require_time_zone(found.tz, f"{prefix}tz")
        return found

    @property
    def chosen(self) -> dict[str, Column]:
        return columns.chosen(self.columns)

    @property
    def separator(self) -> str:
        return DELIMITERS[self.delimiter]

    @property
    def content_type(self) -> str:
        return GZIP if self.compression == "gzip" else FORMATS[self.format]

    @property
    def extension(self) -> str:
        return f"{self.format}.gz" if self.compression == "gzip" else self.format

    def filename(self, slug: str, period: Period) -> str:
        return f"usage-{slug}-{period.start:%Y%m%d}-{period.end:%Y%m%d}.{self.extension}"

    def others(self) -> dict[str, Any]:
        """All but the format and the columns, as a manifest and a request in the background have them."""
        return {name: value for name, value in asdict(self).items() if name in DEFAULTS}

    def _require_fitting(self, prefix: str) -> None:
        if self.format != "csv":
            for name in OF_CSV:
                if getattr(self, name) != DEFAULTS[name]:
                    raise Invalid({f"{prefix}{name}": f"It is of CSV only; leave it out for {self.format}."})
        if self.format == "xlsx" and self.compression != "none":
            raise Invalid({f"{prefix}compression": "An XLSX file is compressed already; leave it out."})


def require_time_zone(name: str, field: str) -> None:
    """PostgreSQL has a list of its own. Raises Invalid."""
    if not time_zones.is_shared(name):
        raise Invalid({field: time_zones.unknown(name)})
