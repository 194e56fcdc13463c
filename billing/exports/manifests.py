"""What an export says of itself, so that it can be proved later: what was asked, by whom, what came out, and where the
ledger's chain stood at that moment.

A manifest is signed with SECRET_KEY (HMAC-SHA256 over its canonical JSON without `signature`), so whoever changes it is
found as well as whoever changes the file.
"""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
from django.conf import settings
from django.db import connection
from django.db.models import Count, Q, Sum
from django.utils.crypto import salted_hmac

from accounts.models import Workspace
from agentplatform.lib.decimals import plain
from agentplatform.lib.hash_chain import head
from billing.exports.options import Options
from billing.sealing import LEDGER
from billing.usage import Period, Records

VERSION = 1
SALT = "billing.exports.manifests"
SUMMED = (
    "requests",
    "input_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
    "input_image_tokens",
    "output_image_tokens",
)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks for an export; nobody where a command makes it."""

    user_id: uuid.UUID | None = None
    user: str = ""
    api_key_id: uuid.UUID | None = None
    api_key: str = ""

    def as_json(self) -> Json:
        return {
            "user_id": self.user_id and str(self.user_id),
            "user": self.user or None,
            "api_key_id": self.api_key_id and str(self.api_key_id),
            "api_key": self.api_key or None,
        }


@dataclass(frozen=True, slots=True)
class Order:
    """An export as it was asked for. `records` are narrowed already; `filters` say how."""

    id: uuid.UUID
    workspace: Workspace
    records: Records
    filters: Mapping[str, str]
    period: Period
    options: Options
    asked_by: Asking
    of_one_run: bool = False


def begun(order: Order) -> Json:
    """A manifest without its file. For a caller in the transaction that reads the rows: all of it is of one moment."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        snapshot_at: datetime = cursor.fetchone()[0]
    last = head(LEDGER, order.workspace.pk)
    return {
        "manifest": VERSION,
        "id": str(order.id),
        "workspace": order.workspace.slug,
        "workspace_id": str(order.workspace.pk),
        "asked_by": order.asked_by.as_json(),
        "snapshot_at": snapshot_at.isoformat(),
        "format": order.options.format,
        "columns": list(order.options.chosen),
        "filters": dict(order.filters),
        "options": order.options.others(),
        **sums(order.records),
        "ledger": {"position": last.position, "hash": last.hash.hex()},
        "platform": {"name": settings.APP_NAME, "version": settings.VERSION},
    }


def sums(records: Records) -> Json:
    """How many rows there are, and what they come to; amounts by currency."""
    named = {f"sum_{name}": Sum(name, default=0) for name in SUMMED}
    unpriced = Sum("requests", filter=Q(cost=None), default=0)
    grouped: Any = records.order_by("currency").values("currency")
    groups: list[Json] = list(
        grouped.annotate(number=Count("pk"), unpriced=unpriced, amount=Sum("cost"), **named)
    )
    return {
        "rows": sum(group["number"] for group in groups),
        "sums": {
            **{name: sum(group[f"sum_{name}"] for group in groups) for name in SUMMED},
            "unpriced_requests": sum(group["unpriced"] for group in groups),
            "cost": {
                group["currency"]: plain(Decimal(group["amount"]))
                for group in groups
                if group["amount"] is not None
            },
        },
    }


def finished(manifest: Json, name: str, size: int, sha256: str) -> Json:
    """The manifest with its file, signed."""
    whole = {**manifest, "file": {"name": name, "size": size, "sha256": sha256}}
    return {**whole, "signature": _sign(whole, settings.SECRET_KEY)}


def is_signed(manifest: Mapping[str, Any]) -> bool:
    """Whether the platform has signed it as it is."""
    signature = manifest.get("signature")
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return isinstance(signature, str) and any(
        hmac.compare_digest(_sign(manifest, key).encode(), signature.encode()) for key in keys
    )


def _sign(manifest: Mapping[str, Any], key: str | bytes) -> str:
    unsigned = {name: value for name, value in manifest.items() if name != "signature"}
    canonical = orjson.dumps(unsigned, option=orjson.OPT_SORT_KEYS)
    return salted_hmac(SALT, canonical, secret=key, algorithm="sha256").hexdigest()
