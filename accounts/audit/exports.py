"""The audit log as a file, the oldest entry first. See `agentplatform.lib.csv_stream` for how it streams."""

from __future__ import annotations

from typing import Any

from django.db.models import CharField, F, TextField, Value
from django.db.models.functions import Cast

from agentplatform.lib.csv_stream import CsvStream, RowStream, SafeText, UtcTimestamp, json_lines_statement

# An export may take its time, but only one core; in order of id without sorting, straight from the primary key.
PLANNER = {"jit": "off", "max_parallel_workers_per_gather": "0"}
EXAMPLE = """\
id,timestamp,workspace,action,outcome,resource_type,resource_id,resource,subject_id,subject,user_id,user,api_key_id,\
api_key,api_key_prefix,via,address,request_id,method,path,before,after
01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e,2026-11-21T08:30:00.125Z,acme,updated,succeeded,Agent,\
01934d6e-6b0a-7d41-8c4d-1e7f0a2b3c4d,trade-assistant,,,01934d6e-5a1c-7c52-9d5e-2f8a1b3c4d5e,alice,,,,api,203.0.113.7,\
01934d6e-7a1b-7c52-9d5e-2f8a1b3c4d5e,PATCH,/api/v1/agents/{pk},"{""system_prompt"": ""Be brief.""}",\
"{""system_prompt"": ""Be kind.""}"
"""
JSON_EXAMPLE = """\
{"id":"01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e","timestamp":"2026-11-21T08:30:00.125Z","workspace":"acme",\
"action":"updated","resource_type":"Agent","before":{"system_prompt":"Be brief."},"after":{"system_prompt":"Be kind."}}
"""
PLAIN = ("action", "outcome", "resource_type", "resource_id")


def columns(workspace_slug: str, *, is_csv: bool) -> dict[str, Any]:
    """The file's columns in order. Text goes into CSV so that no spreadsheet takes it for a formula."""
    text: Any = SafeText if is_csv else F
    document: Any = (lambda name: Cast(name, TextField())) if is_csv else F
    return {
        "id": F("id"),
        "timestamp": UtcTimestamp("timestamp"),
        "workspace": Value(workspace_slug, output_field=CharField()),
        **{name: F(name) for name in PLAIN},
        "resource": text("resource_name"),
        "subject_id": F("subject_id"),
        "subject": text("subject_name__name"),
        "user_id": F("user_id"),
        "user": text("user_name__name"),
        "api_key_id": F("api_key_id"),
        "api_key": text("api_key_name__name"),
        "api_key_prefix": text("api_key_prefix"),
        "via": F("via"),
        "address": text("address"),
        "request_id": text("request_id"),
        "method": F("method"),
        "path": text("path"),
        "before": document("before"),
        "after": document("after"),
    }


def audit_stream(entries: Any, workspace_slug: str, file_format: str) -> RowStream:
    """`entries`, all of one workspace, as CSV or as JSON Lines."""
    is_csv = file_format == "csv"
    selected = columns(workspace_slug, is_csv=is_csv)
    rows = entries.order_by("id").values_list(*selected.values())
    if is_csv:
        return CsvStream(list(selected), rows, PLANNER)
    return RowStream(b"", lambda: json_lines_statement(rows, list(selected)), PLANNER)
