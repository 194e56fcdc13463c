"""Models, tools, agents and versions in the admin: what it saves, what it never shows, who may use it."""

from __future__ import annotations

import json

import pytest
from django.urls import reverse
from django.utils.html import strip_tags

from agents.models import Agent, ChatModel, Secret, Tool, Version
from agents.versions import record
from tests.factories import AgentFactory, AgentToolFactory, ChatModelFactory, ToolFactory

KEY = "sk-very-secret-key-7Qf2"
HEADERS = f'{{"Authorization": "Bearer {KEY}"}}'
NO_FALLBACKS = {"fallback_rows-TOTAL_FORMS": 0, "fallback_rows-INITIAL_FORMS": 0}
MODEL = {
    "name": "fast",
    "enabled": "on",
    "provider": "openai",
    "purpose": "chat",
    "model": "gpt-x",
    "parameters": "{}",
    **NO_FALLBACKS,
}
TOOL = {
    "name": "get_order",
    "enabled": "on",
    "tool_kind": "http",
    "request": '{"method": "GET", "url": "https://shop.example.com/orders"}',
    "arguments_schema": "{}",
    "timeout_seconds": 30,
    "approval_default": "reject",
}


@pytest.fixture(autouse=True)
def _plain_static_files(settings):
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }


@pytest.fixture
def as_staff(client):
    def sign_in(user):
        user.is_staff = True
        user.save()
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture
def admin(as_staff, olivia):
    return as_staff(olivia)


def add(client, model, data):
    return client.post(reverse(f"admin:agents_{model}_add"), data)


def change(client, row, data):
    name = type(row)._meta.model_name
    seen = {"seen": str(type(row).objects.get(pk=row.pk).version_id)}
    return client.post(reverse(f"admin:agents_{name}_change", args=[row.pk]), {**seen, **data})


def readonly_texts(response):
    """What a page that can only be read says, by the labels of its rows."""
    rows = [field for group in response.context["adminform"] for line in group for field in line]
    return {str(row.field["label"]): strip_tags(row.contents()) for row in rows}


def errors_of(response):
    form = response.context["adminform"].form
    return {name for name, _ in form.errors.items()}


def test_adds_a_model_with_an_encrypted_key(admin, workspace):
    add(admin, "chatmodel", {**MODEL, "workspace": workspace.pk, "api_key": KEY})
    assert ChatModel.objects.get(name="fast").secret.value == KEY


def test_records_a_version_with_its_author(admin, workspace):
    add(admin, "chatmodel", {**MODEL, "workspace": workspace.pk})
    version = ChatModel.objects.get(name="fast").version
    assert (version.change, version.author) == ("created", "olivia")


def test_never_shows_a_key(admin, workspace):
    add(admin, "chatmodel", {**MODEL, "workspace": workspace.pk, "api_key": KEY})
    model = ChatModel.objects.get(name="fast")
    page = admin.get(reverse("admin:agents_chatmodel_change", args=[model.pk])).content.decode()
    assert ("7Qf2" in page, KEY in page) == (True, False)


def test_never_shows_a_key_that_was_refused(admin, workspace):
    data = {**MODEL, "workspace": workspace.pk, "api_key": KEY, "parameters": '{"temperature": 99}'}
    assert KEY not in add(admin, "chatmodel", data).content.decode()


def test_asks_for_the_key_again_when_the_form_was_refused(admin, workspace):
    data = {**MODEL, "workspace": workspace.pk, "api_key": KEY, "parameters": '{"temperature": 99}'}
    assert errors_of(add(admin, "chatmodel", data)) == {"parameters", "api_key"}


@pytest.mark.parametrize("refused", [{"timeout_seconds": 0}, {"new_secret_headers": f"{HEADERS} and more"}])
def test_never_shows_headers_that_were_refused(admin, workspace, refused):
    response = add(
        admin, "tool", {**TOOL, "workspace": workspace.pk, "new_secret_headers": HEADERS, **refused}
    )
    assert (KEY in response.content.decode(), errors_of(response)) == (
        False,
        {"new_secret_headers", *refused},
    )


def test_keeps_the_key_where_none_is_typed(admin, workspace):
    add(admin, "chatmodel", {**MODEL, "workspace": workspace.pk, "api_key": KEY})
    model = ChatModel.objects.get(name="fast")
    change(admin, model, {**MODEL, "description": "new"})
    changed = ChatModel.objects.get(name="fast")
    assert (changed.description, changed.secret_id) == ("new", model.secret_id)


def test_removes_the_key_when_asked(admin, workspace):
    add(admin, "chatmodel", {**MODEL, "workspace": workspace.pk, "api_key": KEY})
    change(admin, ChatModel.objects.get(name="fast"), {**MODEL, "remove_api_key": "on"})
    assert ChatModel.objects.get(name="fast").secret is None


def test_never_sends_a_stored_key_to_another_server(admin, workspace):
    add(admin, "chatmodel", {**MODEL, "workspace": workspace.pk, "api_key": KEY})
    response = change(admin, ChatModel.objects.get(), {**MODEL, "base_url": "https://evil.example.com"})
    assert errors_of(response) == {"api_key"}


def test_writes_fallbacks_into_the_version(admin, workspace):
    model = ChatModelFactory(workspace=workspace, name="fast", provider="openai", model="gpt-x")
    other = ChatModelFactory(workspace=workspace, name="other")
    rows = {
        "fallback_rows-TOTAL_FORMS": 1,
        "fallback_rows-INITIAL_FORMS": 0,
        "fallback_rows-0-model": str(model.pk),
        "fallback_rows-0-fallback": str(other.pk),
        "fallback_rows-0-position": 0,
    }
    change(admin, model, {**MODEL, **rows})
    assert ChatModel.objects.get(pk=model.pk).version.data["fallbacks"] == ["other"]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"base_url": "http://127.0.0.1/"}, "base_url"),
        ({"parameters": '{"nonsense": 1}'}, "parameters"),
        ({"name": "no spaces"}, "name"),
        ({"name": "taken"}, "name"),
    ],
)
def test_says_which_field_of_a_model_is_wrong(admin, workspace, values, field):
    ChatModelFactory(workspace=workspace, name="taken")
    assert field in errors_of(add(admin, "chatmodel", {**MODEL, "workspace": workspace.pk, **values}))


def test_refuses_to_rename_a_model_to_a_name_that_is_taken(admin, workspace):
    ChatModelFactory(workspace=workspace, name="taken")
    model = ChatModelFactory(workspace=workspace, name="fast", provider="openai", model="gpt-x")
    assert errors_of(change(admin, model, {**MODEL, "name": "taken"})) == {"name"}


def test_adds_a_tool_with_secret_headers(admin, workspace):
    add(
        admin,
        "tool",
        {**TOOL, "workspace": workspace.pk, "new_secret_headers": '{"X-Key": "a-very-secret-1234"}'},
    )
    entry = Tool.objects.get().secret_headers["X-Key"]
    assert (Secret.objects.get(pk=entry["secret"]).value, entry["hint"]) == ("a-very-secret-1234", "1234")


def test_never_shows_secret_headers(admin, workspace):
    add(
        admin,
        "tool",
        {**TOOL, "workspace": workspace.pk, "new_secret_headers": '{"X-Key": "a-very-secret-1234"}'},
    )
    tool = Tool.objects.get()
    page = admin.get(reverse("admin:agents_tool_change", args=[tool.pk])).content.decode()
    assert ("1234" in page, "a-very-secret" in page, tool.secret_headers["X-Key"]["secret"] in page) == (
        True,
        False,
        False,
    )


def test_keeps_secret_headers_where_none_are_typed(admin, workspace):
    add(
        admin,
        "tool",
        {**TOOL, "workspace": workspace.pk, "new_secret_headers": '{"X-Key": "a-very-secret-1234"}'},
    )
    tool = Tool.objects.get()
    change(admin, tool, {**TOOL, "description": "new"})
    assert Tool.objects.get().secret_headers == tool.secret_headers


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": "has.dots"}, "name"),
        ({"request": '{"url": "http://10.0.0.1/"}'}, "request"),
        ({"arguments_schema": '{"type": "strin"}'}, "arguments_schema"),
        ({"new_secret_headers": "[1]"}, "new_secret_headers"),
        ({"function": "calculator"}, "function"),
        ({"tool_kind": "agent", "request": "{}"}, "agent"),
        ({"approval_timeout_seconds": 0}, "approval_timeout_seconds"),
        ({"approval_default": "ignore"}, "approval_default"),
    ],
)
def test_says_which_field_of_a_tool_is_wrong(admin, workspace, values, field):
    assert field in errors_of(add(admin, "tool", {**TOOL, "workspace": workspace.pk, **values}))


def test_adds_a_tool_that_requires_approval(admin, workspace):
    wanted = {"requires_approval": "on", "approval_timeout_seconds": 60, "approval_default": "approve"}
    add(admin, "tool", {**TOOL, "workspace": workspace.pk, **wanted})
    data = Tool.objects.get().version.data
    assert (data["requires_approval"], data["approval_timeout_seconds"], data["approval_default"]) == (
        True,
        60,
        "approve",
    )


def agent_tool_data(agent, **values):
    return {**TOOL, "name": "ask_helper", "tool_kind": "agent", "request": "{}", "agent": agent.pk, **values}


def test_adds_a_tool_that_asks_an_agent(admin, workspace):
    agent = AgentFactory(workspace=workspace, description="Knows all orders.")
    add(admin, "tool", {**agent_tool_data(agent), "workspace": workspace.pk})
    tool = Tool.objects.get()
    assert (tool.agent, tool.description) == (agent, "Knows all orders.")


def test_refuses_an_agent_of_another_workspace(admin, workspace, other_workspace):
    stranger = AgentFactory(workspace=other_workspace)
    assert "agent" in errors_of(add(admin, "tool", {**agent_tool_data(stranger), "workspace": workspace.pk}))


def test_refuses_an_agent_the_tool_that_asks_it(admin, workspace):
    agent = AgentFactory(workspace=workspace)
    tool = AgentToolFactory(workspace=workspace, agent=agent)
    assert "tools" in errors_of(change(admin, agent, agent_data(agent.model, tools=[str(tool.pk)])))


def agent_data(model, **values):
    return {
        "name": "helper",
        "enabled": "on",
        "model": str(model.pk),
        "system_prompt": "",
        "tags": "",
        **values,
    }


def test_adds_an_agent(admin, workspace):
    model, tool = ChatModelFactory(workspace=workspace), ToolFactory(workspace=workspace)
    data = agent_data(
        model, tools=[str(tool.pk)], tags="shop,eu", max_steps=7, temperature=0.5, memory_window=20
    )
    add(admin, "agent", {**data, "workspace": workspace.pk})
    agent = Agent.objects.get()
    assert (agent.config, agent.memory, agent.tags) == (
        {"max_steps": 7, "temperature": 0.5},
        {"window": 20},
        ["shop", "eu"],
    )


def test_writes_tools_into_the_version(admin, workspace):
    model, tool = ChatModelFactory(workspace=workspace), ToolFactory(workspace=workspace)
    add(admin, "agent", {**agent_data(model, tools=[str(tool.pk)]), "workspace": workspace.pk})
    assert Agent.objects.get().version.data["tools"] == [tool.name]


def test_moves_the_default(admin, workspace):
    model = ChatModelFactory(workspace=workspace)
    first = AgentFactory(workspace=workspace, model=model, is_default=True)
    second = AgentFactory(workspace=workspace, model=model, name="helper")
    change(admin, second, agent_data(model, is_default="on"))
    assert (Agent.objects.get(pk=first.pk).is_default, Agent.objects.get(pk=second.pk).is_default) == (
        False,
        True,
    )


def test_refuses_limits_that_make_no_sense(admin, workspace):
    data = agent_data(ChatModelFactory(workspace=workspace), max_steps=0)
    assert errors_of(add(admin, "agent", {**data, "workspace": workspace.pk})) == {"max_steps"}


def test_refuses_to_overwrite_what_somebody_else_changed(admin, workspace):
    agent = AgentFactory(workspace=workspace, name="helper")
    seen = str(agent.version_id)
    Agent.objects.filter(pk=agent.pk).update(description="theirs")
    record(Agent.objects.get(pk=agent.pk), None, "updated")
    response = change(admin, agent, agent_data(agent.model, seen=seen, description="mine"))
    assert "__all__" in errors_of(response)


def test_refuses_a_model_of_another_workspace(admin, workspace, other_workspace):
    foreign = ChatModelFactory(workspace=other_workspace)
    response = add(admin, "agent", {**agent_data(foreign), "workspace": workspace.pk})
    assert "model" in errors_of(response)


def test_deletes_with_a_last_version(admin, workspace):
    tool = ToolFactory(workspace=workspace)
    admin.post(reverse("admin:agents_tool_delete", args=[tool.pk]), {"post": "yes"})
    assert Version.objects.filter(object_id=tool.pk).first().change == "deleted"


def test_does_not_delete_what_an_agent_uses(admin, workspace):
    tool = ToolFactory(workspace=workspace)
    AgentFactory(workspace=workspace, tools=[tool], name="helper")
    page = admin.post(reverse("admin:agents_tool_delete", args=[tool.pk]), {"post": "yes"}).content.decode()
    assert ("agent helper" in page, Tool.objects.filter(pk=tool.pk).exists()) == (True, True)


def test_deletes_selected_rows_with_a_last_version(admin, workspace):
    tool = ToolFactory(workspace=workspace)
    data = {"action": "delete_selected", "_selected_action": [str(tool.pk)], "post": "yes"}
    admin.post(reverse("admin:agents_tool_changelist"), data)
    assert Version.objects.filter(object_id=tool.pk).first().change == "deleted"


def test_tries_models_out(admin, workspace):
    model = ChatModelFactory(workspace=workspace, name="scripted")
    data = {"action": "try_out", "_selected_action": [str(model.pk)]}
    page = admin.post(reverse("admin:agents_chatmodel_changelist"), data, follow=True).content.decode()
    assert "scripted: You said" in page


def test_restores_a_version(admin, workspace):
    tool = ToolFactory(workspace=workspace, description="first")
    Tool.objects.filter(pk=tool.pk).update(description="second")
    record(Tool.objects.get(pk=tool.pk), None, "updated")
    data = {"action": "restore", "_selected_action": [str(tool.version_id)]}
    admin.post(reverse("admin:agents_version_changelist"), data)
    assert Tool.objects.get(pk=tool.pk).description == "first"


def test_shows_a_version_without_ids_of_secrets(admin, workspace):
    add(admin, "chatmodel", {**MODEL, "workspace": workspace.pk, "api_key": KEY})
    model = ChatModel.objects.get()
    page = admin.get(reverse("admin:agents_version_change", args=[model.version_id])).content.decode()
    assert ("7Qf2" in page, str(model.secret_id) in page) == (True, False)


def test_lets_nobody_edit_a_version(admin, workspace):
    version = ToolFactory(workspace=workspace).version
    response = admin.post(reverse("admin:agents_version_change", args=[version.pk]), {"name": "other"})
    assert response.status_code == 403


def test_lets_a_viewer_look_only(as_staff, vera, workspace):
    tool = ToolFactory(workspace=workspace)
    client = as_staff(vera)
    assert client.get(reverse("admin:agents_tool_change", args=[tool.pk])).status_code == 200
    assert add(client, "tool", TOOL).status_code == 403


@pytest.mark.parametrize("name", ["chatmodel", "tool", "agent", "version"])
def test_shows_nothing_to_a_stranger(as_staff, charlie, workspace, name):
    model = ChatModelFactory(workspace=workspace, name="of-acme")
    AgentFactory(
        workspace=workspace,
        name="of-acme",
        model=model,
        tools=[ToolFactory(workspace=workspace, name="of-acme")],
    )
    page = as_staff(charlie).get(reverse(f"admin:agents_{name}_changelist")).content.decode()
    assert "of-acme" not in page


@pytest.mark.parametrize("name", ["chatmodel", "tool", "agent", "version"])
def test_lists_any_number_of_rows_in_as_many_queries(admin, workspace, name, django_assert_max_num_queries):
    tools = ToolFactory.create_batch(3, workspace=workspace)
    for _ in range(12):
        AgentFactory(workspace=workspace, tools=tools)
    with django_assert_max_num_queries(14):
        admin.get(reverse(f"admin:agents_{name}_changelist"))


@pytest.mark.parametrize("name", ["chatmodel", "tool", "agent"])
def test_opens_its_forms(admin, workspace, name):
    ChatModelFactory(workspace=workspace)
    assert admin.get(reverse(f"admin:agents_{name}_add")).status_code == 200


def test_shows_a_reader_an_agents_limits_and_memory(as_staff, vera, workspace):
    agent = AgentFactory(
        workspace=workspace, config={"max_steps": 7}, memory={"window": 12, "long_term": {"scope": "agent"}}
    )
    page = as_staff(vera).get(reverse("admin:agents_agent_change", args=[agent.pk]))
    told = readonly_texts(page)
    assert (told["Max steps"], told["Memory window"]) == ("7", "12")
    assert told["Long-term memory"] == "Remembers for itself"
    assert told["Names of conversations"] == "After the first message"


def test_shows_a_reader_only_what_belongs_to_a_tools_kind(as_staff, vera, workspace):
    tool = ToolFactory(workspace=workspace)
    page = as_staff(vera).get(reverse("admin:agents_tool_change", args=[tool.pk]))
    told = readonly_texts(page)
    assert {"Function", "Schema of the arguments"} <= told.keys()
    assert not {"HTTP request", "New secret headers", "MCP server", "Knowledge base"} & told.keys()


def test_has_no_history_of_what_is_new(admin):
    groups = [group.name for group in admin.get(reverse("admin:agents_tool_add")).context["adminform"]]
    assert groups == [None, None, "Call", "Approval"]


def test_writes_json_as_people_read_it(admin, workspace):
    schema = {"type": "object", "properties": {"number": {"type": "string"}}}
    tool = ToolFactory(workspace=workspace, arguments_schema=schema)
    page = admin.get(reverse("admin:agents_tool_change", args=[tool.pk]))
    shown = page.context["adminform"].form["arguments_schema"].value()
    assert shown.splitlines()[0] == "{"
    assert json.loads(shown) == schema
