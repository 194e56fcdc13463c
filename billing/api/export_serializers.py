"""The shapes of exports of usage."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agentplatform.lib.serializers import StrictModelSerializer, StrictSerializer
from billing.exports import columns
from billing.exports.options import COMPRESSIONS, DECIMALS, DEFAULTS, DELIMITERS, FORMATS
from billing.models import UsageExport

EXAMPLE_ID = "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e"
SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
FILTERS = {"agent": "trade-assistant", "start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z"}
TIME_ZONE_HELP = "Time zone in which times are written, with their offset, like Europe/Berlin."


class OptionsSerializer(StrictSerializer):
    bom = serializers.BooleanField(
        default=DEFAULTS["bom"], help_text="CSV: a byte order mark, by which Excel knows UTF-8."
    )
    decimal = serializers.ChoiceField(
        choices=DECIMALS, default=DEFAULTS["decimal"], help_text="CSV: what stands before decimals."
    )
    delimiter = serializers.ChoiceField(
        choices=list(DELIMITERS), default=DEFAULTS["delimiter"], help_text="CSV: between cells."
    )
    tz = serializers.CharField(default=DEFAULTS["tz"], max_length=64, help_text=TIME_ZONE_HELP)


class FileOptionsSerializer(OptionsSerializer):
    compression = serializers.ChoiceField(
        choices=COMPRESSIONS, default=DEFAULTS["compression"], help_text="CSV and JSON Lines."
    )


class StreamQuerySerializer(OptionsSerializer):
    """The query string beside the filters; not strict, because those are in it too."""

    format = serializers.ChoiceField(choices=list(FORMATS), default="csv")
    columns = serializers.CharField(
        default="",
        max_length=2000,
        allow_blank=True,
        help_text=f"Comma-separated, in this order. Of: {', '.join(columns.BY_NAME)}. "
        f"Default: the first {len(columns.DEFAULT)}.",
    )

    def _unknown(self, data: Any) -> dict[str, list[str]]:
        return {}

    def validate_columns(self, value: str) -> list[str]:
        return [name.strip() for name in value.split(",")] if value.strip() else []


class AskingSerializer(StrictSerializer):
    """What is to be exported, and how."""

    format = serializers.ChoiceField(choices=list(FORMATS), default="csv")
    filters = serializers.DictField(
        child=serializers.CharField(max_length=500),
        default=dict,
        help_text="As in the query string of `GET /billing/usage`.",
    )
    columns = serializers.ListField(
        child=serializers.CharField(max_length=32),
        default=list,
        max_length=len(columns.BY_NAME),
        help_text="In this order. Default: those of the streamed export.",
    )
    options = FileOptionsSerializer(default=dict)

    example = {
        "format": "csv",
        "filters": FILTERS,
        "columns": ["timestamp", "agent", "model", "cost", "currency"],
        "options": {"bom": True, "decimal": "comma", "delimiter": ";", "tz": "Europe/Berlin"},
    }


class UsageExportSerializer(StrictModelSerializer):
    """An export in the background."""

    progress = serializers.SerializerMethodField(help_text="Rows written so far, about; in the end exactly.")

    example = {
        "id": EXAMPLE_ID,
        "status": "completed",
        "format": "csv",
        "filters": FILTERS,
        "columns": ["timestamp", "agent", "model", "cost", "currency"],
        "options": {**DEFAULTS, "bom": True, "decimal": "comma", "delimiter": ";", "tz": "Europe/Berlin"},
        "user": "audrey",
        "api_key": "",
        "progress": 120345,
        "error": "",
        "size": 9876543,
        "sha256": SHA256,
        "created_at": "2026-12-01T08:30:00Z",
        "started_at": "2026-12-01T08:30:01Z",
        "finished_at": "2026-12-01T08:30:04Z",
        "expires_at": "2026-12-08T08:30:04Z",
    }

    class Meta:
        model = UsageExport
        fields = [
            "id",
            "status",
            "format",
            "filters",
            "columns",
            "options",
            "user",
            "api_key",
            "progress",
            "error",
            "size",
            "sha256",
            "created_at",
            "started_at",
            "finished_at",
            "expires_at",
        ]
        read_only_fields = fields

    def get_progress(self, export: UsageExport) -> int:
        return export.rows


class ManifestFileSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    size = serializers.IntegerField(help_text="Bytes.")
    sha256 = serializers.CharField(help_text="Hexadecimal.")


class ManifestLedgerSerializer(serializers.Serializer[Any]):
    position = serializers.IntegerField(
        help_text="Where the workspace's chain stood; 0: nothing was sealed yet."
    )
    hash = serializers.CharField(help_text="Of the seal at that position, hexadecimal.")


class ManifestSerializer(serializers.Serializer[Any]):
    """What an export says of itself; `signature` covers all the rest."""

    manifest = serializers.IntegerField(help_text="The version of this shape.")
    id = serializers.UUIDField()
    workspace = serializers.CharField()
    workspace_id = serializers.UUIDField()
    asked_by = serializers.DictField(help_text="user_id, user, api_key_id, api_key; null: a command.")
    snapshot_at = serializers.CharField(help_text="The moment that all of it shows.")
    format = serializers.CharField()
    columns = serializers.ListField(child=serializers.CharField())
    filters = serializers.DictField()
    options = serializers.DictField()
    rows = serializers.IntegerField()
    sums = serializers.DictField(help_text="Of all rows: counts, and `cost` by currency as decimal strings.")
    ledger = ManifestLedgerSerializer()
    platform = serializers.DictField(help_text="name and version.")
    file = ManifestFileSerializer()
    signature = serializers.CharField(help_text="HMAC-SHA256 with the platform's SECRET_KEY.")

    example = {
        "manifest": 1,
        "id": EXAMPLE_ID,
        "workspace": "acme",
        "workspace_id": EXAMPLE_ID,
        "asked_by": {"user_id": EXAMPLE_ID, "user": "audrey", "api_key_id": None, "api_key": None},
        "snapshot_at": "2026-12-01T08:30:01.125000+00:00",
        "format": "csv",
        "columns": ["timestamp", "agent", "model", "cost", "currency"],
        "filters": FILTERS,
        "options": DEFAULTS,
        "rows": 120345,
        "sums": {"requests": 120345, "input_tokens": 40210000, "cost": {"USD": "107.355"}},
        "ledger": {"position": 120401, "hash": SHA256},
        "platform": {"name": "agentplatform", "version": "0.1.0"},
        "file": {"name": "usage-acme-20261101-20261201.csv", "size": 9876543, "sha256": SHA256},
        "signature": SHA256,
    }


class ProofDifferenceSerializer(serializers.Serializer[Any]):
    check = serializers.CharField(help_text="signature, size, sha256, rows, sums.<name>, content or ledger.")
    message = serializers.CharField()


class ProofSerializer(serializers.Serializer[Any]):
    intact = serializers.BooleanField(source="is_intact")
    differences = ProofDifferenceSerializer(many=True)

    example = {"intact": True, "differences": []}
