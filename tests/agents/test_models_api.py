"""/models: their endpoints, parameters, fallbacks and keys."""

from __future__ import annotations

import pytest

from agents.models import ChatModel, Secret
from tests.factories import AgentFactory, ChatModelFactory

KEY = "sk-very-secret-key-7Qf2"
BODY = {"name": "fast", "provider": "openai", "model": "gpt-x", "base_url": "https://llm.example.com/v1"}


def nested(levels):
    value = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.fixture
def client(api, olivia):
    return api(olivia)


@pytest.fixture
def model(client):
    client.post("/models", {**BODY, "api_key": KEY})
    return ChatModel.objects.get(name="fast")


def fields_of(response):
    return {entry["field"] for entry in response.json()["error"]["details"]}


def test_creates_a_model(client, workspace):
    body = {**BODY, "description": "Quick", "parameters": {"temperature": 0.2}, "fallbacks": []}
    created = client.post("/models", body)
    assert created.status_code == 201
    assert {name: created.json()[name] for name in body} == body


def test_shows_the_keys_last_characters_only(client, model):
    response = client.get("/models/fast")
    assert (response.json()["api_key_hint"], KEY in response.text) == ("7Qf2", False)


def test_stores_the_key_encrypted(model, django_db_blocker):
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT value FROM agents_secret")
        assert KEY not in cursor.fetchone()[0]


def test_keeps_the_key_where_none_is_sent(client, model):
    client.put("/models/fast", {**BODY, "description": "changed"})
    assert ChatModel.objects.get(pk=model.pk).secret_id == model.secret_id


def test_removes_the_key_for_null(client, model):
    assert client.patch("/models/fast", {"api_key": None}).json()["api_key_hint"] is None


def test_takes_a_new_key_and_keeps_the_old_one_for_its_versions(client, model):
    assert client.patch("/models/fast", {"api_key": "sk-another-key-9xKe"}).json()["api_key_hint"] == "9xKe"
    assert Secret.objects.get(pk=model.secret_id).value == KEY


def test_takes_no_key_that_cannot_be_sent(client, model):
    response = client.patch("/models/fast", {"api_key": "sk-…9xKe"})
    assert (response.status_code, fields_of(response)) == (422, {"api_key"})


@pytest.mark.parametrize(
    "change",
    [{"base_url": "https://evil.example.com/v1"}, {"base_url": ""}, {"provider": "anthropic"}],
)
def test_never_sends_a_stored_key_to_another_server(client, model, change):
    response = client.patch("/models/fast", change)
    assert (response.status_code, fields_of(response)) == (422, {"api_key"})


def test_keeps_the_key_for_another_path_of_the_same_server(client, model):
    assert client.patch("/models/fast", {"base_url": "https://llm.example.com/v2"}).status_code == 200


def test_moves_to_another_server_with_a_new_key(client, model):
    change = {"base_url": "https://other.example.com/v1", "api_key": "sk-another-key-9xKe"}
    assert client.patch("/models/fast", change).status_code == 200


def test_keeps_fallbacks_in_their_order(client, workspace):
    for name in ("b", "a"):
        ChatModelFactory(workspace=workspace, name=name)
    created = client.post("/models", {**BODY, "fallbacks": ["b", "a"]}).json()
    assert created["fallbacks"] == ["b", "a"] == client.get("/models/fast").json()["fallbacks"]


def test_replaces_fallbacks(client, workspace):
    for name in ("b", "a"):
        ChatModelFactory(workspace=workspace, name=name)
    client.post("/models", {**BODY, "fallbacks": ["b", "a"]})
    assert client.patch("/models/fast", {"fallbacks": ["a"]}).json()["fallbacks"] == ["a"]


def test_refuses_a_model_as_its_own_fallback(client, model):
    assert fields_of(client.patch("/models/fast", {"fallbacks": ["fast"]})) == {"fallbacks"}


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"provider": "nobody"}, "provider"),
        ({"model": ""}, "model"),
        ({"base_url": "llm.example.com"}, "base_url"),
        ({"base_url": "ftp://llm.example.com"}, "base_url"),
        ({"base_url": "http://127.0.0.1:8000/v1"}, "base_url"),
        ({"base_url": "http://169.254.169.254/"}, "base_url"),
        ({"base_url": "https://user:pass@llm.example.com/"}, "base_url"),
        ({"provider": "demo"}, "base_url"),
        ({"parameters": {"temperature": 9}}, "parameters"),
        ({"parameters": {"http_client": 1}}, "parameters"),
        ({"parameters": "hot"}, "parameters"),
        ({"parameters": {"extra_body": {"a": nested(60)}}}, "parameters"),
        ({"fallbacks": ["nobody"]}, "fallbacks"),
        ({"api_key": "a\nb"}, "api_key"),
        ({"key": "typo"}, "key"),
    ],
)
def test_says_which_field_is_wrong(client, workspace, values, field):
    response = client.post("/models", {**BODY, **values})
    assert (response.status_code, field in fields_of(response)) == (422, True)


def test_takes_a_private_endpoint_that_an_operator_opened(client, workspace, settings):
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    assert client.post("/models", {**BODY, "base_url": "http://127.0.0.1:8000/v1"}).status_code == 201


def test_refuses_to_delete_what_an_agent_uses(client, workspace, model):
    AgentFactory(workspace=workspace, model=model, name="helper")
    response = client.delete("/models/fast")
    assert (response.status_code, "helper" in response.json()["error"]["message"]) == (409, True)


def test_refuses_to_delete_another_models_fallback(client, workspace, model):
    ChatModelFactory(workspace=workspace, name="slow", fallbacks=[model])
    response = client.delete("/models/fast")
    assert (response.status_code, "slow" in response.json()["error"]["message"]) == (409, True)


def test_deletes_what_nobody_uses(client, model):
    assert client.delete("/models/fast").status_code == 204


def test_says_that_a_model_does_not_exist(client):
    assert client.get("/models/nothing").json()["error"]["type"] == "ModelNotFound"


def test_lists_any_number_of_models_in_as_many_queries(client, workspace, django_assert_max_num_queries):
    fallback = ChatModelFactory(workspace=workspace)
    ChatModelFactory.create_batch(15, workspace=workspace, fallbacks=[fallback])
    with django_assert_max_num_queries(3):
        assert len(client.get("/models").json()["items"]) == 16


@pytest.mark.parametrize(
    ("query", "count"), [("provider=openai", 1), ("provider=demo", 2), ("enabled=false", 0)]
)
def test_narrows_the_list(client, workspace, model, query, count):
    ChatModelFactory.create_batch(2, workspace=workspace)
    assert client.get(f"/models?{query}").json()["total"] == count
