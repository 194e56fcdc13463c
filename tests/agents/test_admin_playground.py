"""Models and tools are tested beside their forms, as the forms have them."""

from __future__ import annotations

import json

import pytest
from django.urls import reverse

from agents import editing, versions
from agents.admin_playground import example_of
from agents.models import Tool
from billing.models import Entry, UsageRecord
from tests.factories import ChatModelFactory, HttpToolFactory, ToolFactory
from tests.runs.admin_support import path_of, signed_in

MODEL = {
    "enabled": "on",
    "provider": "demo",
    "purpose": "chat",
    "model": "scripted",
    "parameters": "{}",
    "fallback_rows-TOTAL_FORMS": 0,
    "fallback_rows-INITIAL_FORMS": 0,
}
TOOL = {"enabled": "on", "arguments_schema": "{}", "timeout_seconds": 30, "approval_default": "reject"}


def try_it(user, row, form):
    address = reverse(f"admin:agents_{row._meta.model_name}_try", args=[row.pk])
    return signed_in(user).post(address, {"seen": str(row.version_id), "name": row.name, **form})


@pytest.mark.django_db(transaction=True)
def test_asks_the_model_that_is_typed(olivia, workspace, model_endpoint):
    model = ChatModelFactory(workspace=workspace, provider="demo", model="scripted")
    typed = {
        "provider": "openai",
        "model": "echo",
        "base_url": model_endpoint.base_url,
        "api_key": "sk-typed",
    }
    answer = try_it(olivia, model, {**MODEL, **typed, "playground_question": "Hello?"}).json()
    assert (answer["ok"], "Hello?" in answer["text"]) == (True, True)
    model.refresh_from_db()
    assert (model.provider, model.secret) == ("demo", None)


def test_accounts_for_the_question(olivia, workspace):
    model = ChatModelFactory(workspace=workspace, provider="demo", model="scripted")
    try_it(olivia, model, {**MODEL, "playground_question": "Hello?"})
    settled = UsageRecord.objects.get(entry=Entry.SETTLED)
    assert (settled.run_id, settled.user_id) == (None, olivia.pk)


def test_sends_no_stored_key_to_another_server(olivia, workspace):
    model = ChatModelFactory(workspace=workspace, provider="openai", model="gpt-x")
    editing.set_api_key(model, "sk-stored")
    model.save()
    versions.record(model, None, "updated")
    typed = {"provider": "openai", "model": "gpt-x", "base_url": "https://elsewhere.example.com/v1"}
    response = try_it(olivia, model, {**MODEL, **typed})
    assert response.status_code == 422
    assert "enter the API key again" in response.json()["errors"][0]["message"]


def test_calls_the_tool_that_is_typed(olivia, workspace):
    tool = ToolFactory(workspace=workspace, name="calculator")
    form = {**TOOL, "tool_kind": "function", "function": "calculator"}
    answer = try_it(olivia, tool, {**form, "playground_question": '{"expression": "6 * 7"}'}).json()
    assert (answer["ok"], answer["text"]) == (True, "42")


def test_sends_the_headers_that_are_typed(olivia, workspace, http_endpoint):
    tool = HttpToolFactory(workspace=workspace, name="orders")
    request = json.dumps({"method": "GET", "url": f"{http_endpoint.url}/orders"})
    form = {**TOOL, "tool_kind": "http", "request": request, "new_secret_headers": '{"X-Token": "typed"}'}
    answer = try_it(olivia, tool, {**form, "playground_question": "{}"}).json()
    assert answer["ok"], answer
    assert http_endpoint.asked[-1].headers["x-token"] == "typed"
    assert Tool.objects.get(pk=tool.pk).secret_headers == tool.secret_headers


def test_says_what_went_wrong(olivia, workspace):
    tool = ToolFactory(workspace=workspace, name="calculator")
    form = {**TOOL, "tool_kind": "function", "function": "calculator"}
    answer = try_it(olivia, tool, {**form, "playground_question": '{"expression": "1 / 0"}'}).json()
    assert not answer["ok"]
    assert answer["text"].startswith("tool_error: ")


@pytest.mark.parametrize("asked", ["{", "[1]"])
def test_wants_a_json_object(olivia, workspace, asked):
    tool = ToolFactory(workspace=workspace, name="calculator")
    form = {**TOOL, "tool_kind": "function", "function": "calculator", "playground_question": asked}
    assert try_it(olivia, tool, form).status_code == 422


@pytest.mark.parametrize("who", ["bob", "vera", "audrey"])
def test_is_for_those_who_may_save_and_test(request, workspace, who):
    tool = ToolFactory(workspace=workspace, name="calculator")
    user = request.getfixturevalue(who)
    form = {**TOOL, "tool_kind": "function", "function": "calculator", "playground_question": "{}"}
    assert try_it(user, tool, form).status_code == 404
    page = signed_in(user).get(path_of("agents.tool", "change", tool.pk))
    assert 'id="playground"' not in page.content.decode()


def test_reaches_no_tool_of_another_workspace(olivia, other_workspace):
    tool = ToolFactory(workspace=other_workspace, name="calculator")
    assert try_it(olivia, tool, {**TOOL, "playground_question": "{}"}).status_code == 404


def test_offers_the_fields_of_the_arguments():
    properties = {"city": {"type": "string"}, "days": {"type": "integer"}, "unit": {"enum": ["c", "f"]}}
    assert example_of({"properties": properties}) == {"city": "", "days": 0, "unit": "c"}
