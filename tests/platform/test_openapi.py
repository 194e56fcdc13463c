"""The description of the whole API: one name for one thing."""

from __future__ import annotations

import re

import pytest
from drf_spectacular.generators import SchemaGenerator

# What a path names besides the resource itself.
FURTHER = {
    "{message_id}",
    "{name}",
    "{delivery_id}",
    "{document}",
    "{number}",
    "{payload_id}",
    "{user}",
    "{workspace}",
}

EXPORTED = {
    "text/csv",
    "application/x-ndjson",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/gzip",
}


@pytest.fixture
def paths(api, db):
    return api().get("/openapi.json").json()["paths"]


def test_names_the_resource_in_a_path_alike_everywhere(paths):
    named = {name for path in paths for name in re.findall(r"{.*?}", path)}
    assert named == {"{id}", *FURTHER}


def test_describes_the_resource_in_a_path_alike_everywhere(paths):
    described = {}
    for path, operations in paths.items():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                if parameter["name"] == "id":
                    kind = path.partition("/{id}")[0]
                    about = (str(parameter["schema"]), parameter.get("description"))
                    described.setdefault(kind, set()).add(about)
    assert {kind: about for kind, about in described.items() if len(about) > 1} == {}
    assert all(description for about in described.values() for _, description in about)


@pytest.mark.parametrize(
    ("component", "field"),
    [
        ("ChatModel", "api_key_hint"),
        ("McpServer", "checked_at"),
        ("Workflow", "published_version"),
        ("Workflow", "published_at"),
        ("WorkflowItem", "published_version"),
        ("WorkflowItem", "published_at"),
        ("Delivery", "next_attempt_at"),
    ],
)
def test_says_what_may_be_null(schema, component, field):
    assert schema["components"]["schemas"][component]["properties"][field]["nullable"]


@pytest.mark.parametrize(
    ("path", "status", "content_types"),
    [
        ("/billing/exports/{id}/download", "200", EXPORTED),
        ("/billing/exports/{id}/download", "206", EXPORTED),
        (
            "/history/sessions/{id}/export",
            "200",
            {"application/json", "application/x-ndjson", "text/csv", "text/markdown"},
        ),
        ("/attachments/{id}/content", "200", {"*/*"}),
        ("/workflows/{id}/export", "200", {"application/json", "application/yaml"}),
        (
            "/workflows/{id}/visualization",
            "200",
            {"application/json", "text/vnd.mermaid", "image/svg+xml"},
        ),
    ],
)
def test_says_what_files_may_be(schema, path, status, content_types):
    assert schema["paths"][f"/api/v1{path}"]["get"]["responses"][status]["content"].keys() == content_types


def test_is_made_once_in_a_process(api, db, monkeypatch):
    """It takes a second of a processor, and whoever asks need not sign in."""
    first = api().get("/openapi.json")
    monkeypatch.setattr(SchemaGenerator, "get_schema", None)
    again = api().get("/openapi.json", {"version": "7"})

    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["Content-Disposition"] == first.headers["Content-Disposition"]


def test_remembers_no_language_that_it_does_not_speak(api, db, monkeypatch):
    first = api().get("/openapi.json").content
    monkeypatch.setattr(SchemaGenerator, "get_schema", None)

    assert api().get("/openapi.json", {"lang": "nonsense"}).content == first


def test_is_what_the_generator_makes(api, schema):
    assert api().get("/openapi.json").json() == schema
