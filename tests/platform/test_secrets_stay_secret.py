"""Secrets stay secret, whatever is done with them.

Each test does all that people and programs can do with a secret, with the help of endpoints that quote whatever they
were sent. Then it looks for it in every answer, page, table and log line.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from django.conf import settings as configured
from django.test import Client
from django.urls import reverse
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from accounts.api_keys import VISIBLE_CHARACTERS
from accounts.models import User
from agents.models import ChatModel, Tool
from tests.agents.http_endpoint import Answer, HttpEndpoint
from tests.platform.watch import Watch, watching
from tests.runs.conftest import lent_platform, server
from tests.runs.platform import Platform

__all__ = ["lent_platform", "server"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("without_limits")]

EVENTS = "text/event-stream"
Open = Callable[..., httpx.Client]


@pytest.fixture(scope="module")
def platform(django_db_setup, django_db_blocker) -> Iterator[Platform]:
    """Gone before other tests of this room: its worker would take their runs up."""
    with django_db_blocker.unblock(), Platform() as platform:
        yield platform


@pytest.fixture
def without_limits(settings):
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": {"login": "", "chat": ""}}


@pytest.fixture
def watch(server) -> Iterator[Watch]:
    """Of the installation's own secrets, too."""
    own = {
        "SECRET_KEY": configured.SECRET_KEY,
        "FIELD_ENCRYPTION_KEYS": configured.FIELD_ENCRYPTION_KEYS[0],
        "JWT_SECRET_KEY": configured.JWT_SECRET_KEYS[0],
    }
    with watching(**own) as watch:
        yield watch


@pytest.fixture
def open_client(server, watch) -> Iterator[Open]:
    """`open_client(headers=…)`: a client of the platform whose answers are watched."""
    opened: list[httpx.Client] = []

    def make(**options: Any) -> httpx.Client:
        hooks = {"response": [watch.hear]}
        opened.append(httpx.Client(base_url=f"{server}/api/v1", timeout=30, event_hooks=hooks, **options))
        return opened[-1]

    yield make
    for client in opened:
        client.close()


@pytest.fixture
def client(open_client, watch, alice) -> httpx.Client:
    """alice's, who has signed in."""
    body = {"username": "alice", "password": give_password(alice, watch)}
    client = open_client()
    answer = client.post("/auth/login", json=body)
    access, _ = watch.shown(answer, "access", "refresh")
    client.headers["Authorization"] = f"Bearer {access}"
    return client


def give_password(user: User, watch: Watch) -> str:
    """A password of the user's own."""
    text = watch.hide(f"password of {user.username}", f"the very own password of {user.username}")
    user.set_password(text)
    user.save()
    return text


@pytest.fixture
def root(workspace, watch) -> User:
    user = User.objects.create_superuser("root")
    give_password(user, watch)
    return user


@pytest.fixture
def endpoint(settings) -> Iterator[HttpEndpoint]:
    """Answers what a test says: whatever it was sent."""
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    with HttpEndpoint() as endpoint:
        yield endpoint


def read_everything(client: httpx.Client, server: str) -> None:
    """Every list, and what belongs to each run and session."""
    for path in (
        "/models",
        "/tools",
        "/mcp-servers",
        "/agents",
        "/runs",
        "/sessions",
        "/auth/me",
        "/auth/api-keys",
        "/workspaces",
        "/schedules",
        "/webhooks",
    ):
        client.get(path)
    for path in (
        "/billing/usage",
        "/billing/agent-breakdown",
        "/billing/usage/history",
        "/billing/usage/export",
        "/metrics/system",
        "/analytics/performance",
        "/analytics/errors",
    ):
        client.get(path)
    for path in ("/health/detailed", "/openapi.json", "/workspaces/acme/members"):
        client.get(path)
    for run in client.get("/runs", params={"limit": 100}).json()["items"]:
        for part in ("", "/events", "/stream", "/wait"):
            client.get(f"/runs/{run['id']}{part}")
    for session in client.get("/sessions").json()["items"]:
        client.get(f"/sessions/{session['id']}/history")


def changes(client: httpx.Client, path: str, right: dict[str, Any], *wrong: dict[str, Any]) -> None:
    """All that can be done to a configuration: refused, changed, restored, listed."""
    for body in wrong:
        assert client.patch(path, json=body).status_code == 422
        assert client.put(path, json=right | body).status_code == 422
    assert client.patch(path, json={"description": "changed"}).status_code == 200
    assert client.put(path, json=right).status_code == 200
    assert client.post(f"{path}/versions/1/restore").status_code == 200
    assert client.get(f"{path}/versions").json()["total"] == 4


# models


def failures(secret: str) -> list[Answer]:
    """The ways in which an endpoint can quote a key in what is no good answer."""
    message = {"error": {"message": f"Not with {secret}!", "type": secret, "code": secret, "param": secret}}
    quoted, header = json.dumps(message).encode(), {"X-Echo": secret}
    refused = [
        Answer(status, quoted, headers=header) for status in (400, 401, 403, 404, 409, 422, 429, 500, 503)
    ]
    return [
        *refused,
        Answer(400, f"Not with {secret}!".encode(), "text/plain", header),
        Answer(200, b"data: " + quoted + b"\n\n", EVENTS, header),
        Answer(200, f"data: {{{secret}\n\n".encode(), EVENTS, header),
        Answer(200, f'data: {{"choices": "{secret}"}}\n\n'.encode(), EVENTS, header),
        Answer(200, f"<p>{secret}</p>".encode(), "text/html", header),
        Answer(302, b"", headers={"Location": f"/elsewhere?key={secret}"}),
    ]


@pytest.fixture
def model(client, endpoint, watch) -> dict[str, Any]:
    """The body of a model with a key, which has been made."""
    body = {
        "name": "quoting",
        "provider": "openai",
        "model": "any",
        "base_url": f"{endpoint.url}/v1",
        "api_key": watch.hide("model key", "the-key-of-the-model-7Qx2"),
    }
    assert client.post("/models", json=body).status_code == 201
    return body


def test_keeps_a_models_key_secret_while_it_is_edited(client, model, watch, server, root):
    wrong = [
        {"api_key": f"{model['api_key']}\nX-Next: header"},
        {"api_key": [model["api_key"]]},
        {"api_key": model["api_key"], "temperature": 1},
        {"api_key": model["api_key"], "base_url": "http://10.0.0.1/"},
    ]
    changes(client, "/models/quoting", model, *wrong)
    client.patch(
        "/models/quoting", json={"api_key": watch.hide("next model key", "another-key-of-the-model-7Qx3")}
    )
    client.post("/models", json=model)
    read_everything(client, server)
    watch.open_pages(root)

    assert watch.leaks() == {}


def test_keeps_a_models_key_secret_whatever_the_endpoint_says(client, model, endpoint, watch, server, root):
    agent = {"name": "asker", "model": "quoting", "config": {"retries": 0, "timeout": 5}}
    client.post("/agents", json=agent)
    session = client.post("/sessions", json={"agent": "asker"}).json()["id"]
    answers = failures(model["api_key"])
    for number, endpoint.answer in enumerate(answers):
        trial = client.post("/models/quoting/test", json={}).json()
        assert not trial["ok"], trial
        body = {"agent_id": "asker", "message": "Hello", "stream": number % 2 == 0, "session_id": session}
        client.post("/chat", json=body)
    endpoint.answer = answers[6]
    client.post("/runs", json={"agent_id": "asker", "message": "Again", "config": {"retries": 1}})
    read_everything(client, server)
    watch.open_pages(root)

    assert len(endpoint.asked) > 2 * len(answers)
    assert watch.leaks() == {}


@pytest.mark.parametrize("provider", ["anthropic", "google"])
def test_keeps_the_key_of_other_vendors_secret(client, model, endpoint, watch, provider):
    body = {**model, "name": provider, "provider": provider, "base_url": endpoint.url}
    client.post("/models", json=body)
    for endpoint.answer in failures(model["api_key"]):
        assert not client.post(f"/models/{provider}/test", json={}).json()["ok"]

    assert watch.leaks() == {}


def test_keeps_a_models_key_secret_that_a_good_answer_quotes(client, model, endpoint, watch):
    message = {"role": "assistant", "content": f"You said {model['api_key']}"}
    completion = {
        "id": "1",
        "object": "chat.completion",
        "model": "any",
        "choices": [{"index": 0, "message": message}],
    }
    endpoint.answer = Answer(200, json.dumps(completion).encode(), headers={"X-Echo": model["api_key"]})

    assert client.post("/models/quoting/test", json={}).json()["ok"]
    assert watch.leaks() == {}


def test_keeps_the_platforms_own_key_secret(client, endpoint, watch, settings, server, root):
    settings.OPENAI_BASE_URL = f"{endpoint.url}/v1"
    settings.OPENAI_API_KEY = watch.hide("OPENAI_API_KEY", "the-key-of-the-platform-7Qx4")
    client.post("/models", json={"name": "quoting", "provider": "openai", "model": "any"})
    client.post("/agents", json={"name": "asker", "model": "quoting", "config": {"retries": 0}})
    for endpoint.answer in failures(settings.OPENAI_API_KEY):
        client.post("/models/quoting/test", json={})
        client.post("/chat", json={"agent_id": "asker", "message": "Hello", "stream": False})
    read_everything(client, server)
    watch.open_pages(root)

    assert watch.leaks() == {}


# tools


def make_agent(client: httpx.Client, **fields: Any) -> None:
    """The agent `asker` on a scripted model."""
    model = {"name": "scripted", "provider": "demo", "model": "scripted", "parameters": {"delay_ms": 0}}
    client.post("/models", json=model)
    assert client.post("/agents", json={"name": "asker", "model": "scripted", **fields}).status_code == 201


def echoes(*secrets: str) -> list[Answer]:
    """The ways in which an endpoint can quote headers, rightly or not."""
    header = {"X-Echo": secrets[0]}
    quoted = json.dumps({"headers": list(secrets), "text": " ".join(secrets)}).encode()
    return [
        Answer(200, quoted, headers=header),
        Answer(200, "\n".join(secrets).encode(), "text/plain", header),
        Answer(200, "{".join(secrets).encode(), headers=header),
        *(Answer(status, quoted, headers=header) for status in (400, 401, 404, 429, 500)),
        Answer(302, quoted, headers={"Location": f"/elsewhere?key={secrets[0]}"}),
    ]


@pytest.fixture
def tool(client, endpoint, watch) -> dict[str, Any]:
    """The body of a tool with secret headers, which has been made."""
    body = {
        "name": "quoting",
        "kind": "http",
        "request": {"method": "GET", "url": f"{endpoint.url}/items"},
        "secret_headers": {
            "Authorization": f"Bearer {watch.hide('credential', 'the-credential-of-the-tool-7Qx5')}",
            "X-Key": watch.hide("header", 'a "quoted" \\ key of the tool 7Qx6'),
        },
    }
    assert client.post("/tools", json=body).status_code == 201
    return body


def test_keeps_a_tools_headers_secret_while_it_is_edited(client, tool, watch, server, root):
    header = tool["secret_headers"]["X-Key"]
    wrong = [
        {"secret_headers": {"X-Key": f"{header}\nX-Next: header"}},
        {"secret_headers": {"X-Key": [header]}},
        {"secret_headers": {"Host": header}},
        {"secret_headers": {"X-Key": header}, "timeout_seconds": 0},
    ]
    changes(client, "/tools/quoting", tool, *wrong)
    client.post("/tools", json=tool)
    client.patch("/tools/quoting", json={"secret_headers": {"X-Key": None}})
    read_everything(client, server)
    watch.open_pages(root)

    assert watch.leaks() == {}


def test_keeps_a_tools_headers_secret_whatever_the_endpoint_says(client, tool, endpoint, watch, server, root):
    make_agent(client, tools=["quoting"])
    answers = echoes(*tool["secret_headers"].values())
    for endpoint.answer in answers:
        client.post("/tools/quoting/test", json={})
        client.post("/chat", json={"agent_id": "asker", "message": "call quoting {}", "stream": False})
    read_everything(client, server)
    watch.open_pages(root)

    assert len(endpoint.asked) == 2 * len(answers)
    assert watch.leaks() == {}


# MCP servers


@pytest.fixture
def mcp_server(client, endpoint, watch) -> dict[str, Any]:
    """The body of an MCP server with secret headers, which has been made."""
    body = {
        "name": "quoting",
        "transport": "http",
        "url": f"{endpoint.url}/mcp",
        "secrets": {
            "Authorization": f"Bearer {watch.hide('credential', 'the-credential-of-the-server-7Qx7')}",
            "X-Key": watch.hide("header", 'a "quoted" \\ key of the server 7Qx8'),
        },
    }
    assert client.post("/mcp-servers", json=body).status_code == 201
    return body


def test_keeps_an_mcp_servers_secrets(client, mcp_server, endpoint, watch, server, root):
    header = mcp_server["secrets"]["X-Key"]
    wrong = [
        {"secrets": {"X-Key": f"{header}\nX-Next: header"}},
        {"secrets": {"X-Key": [header]}},
        {"secrets": {"Host": header}},
        {"secrets": {"X-Key": header}, "timeout_seconds": 0},
    ]
    changes(client, "/mcp-servers/quoting", mcp_server, *wrong)
    client.post("/mcp-servers", json=mcp_server)
    for endpoint.answer in echoes(*mcp_server["secrets"].values()):
        found = client.post("/mcp-servers/quoting/discover", json={"import": True}, timeout=30)
        assert found.json()["ok"] is False
    read_everything(client, server)
    watch.open_pages(root)

    assert watch.leaks() == {}


# webhooks


def test_keeps_a_webhooks_secrets_secret(client, endpoint, watch, server, root, lent_platform):
    make_agent(client)
    body = {"name": "backend", "url": endpoint.url, "events": ["run_completed"]}
    watch.shown(client.post("/webhooks", json=body), "secret")
    watch.shown(client.post("/webhooks/backend/rotate-secret"), "secret")
    for endpoint.answer in (Answer(204, b""), Answer(500, b"out of order"), Answer(302, b"")):
        client.post("/webhooks/backend/test")
        client.post("/chat", json={"agent_id": "asker", "message": "Hello", "stream": False})
        lent_platform.settle()
    client.put("/webhooks/backend", json=body)
    client.patch("/webhooks/backend", json={"secret": "mine"})
    for delivery in client.get("/webhooks/backend/deliveries").json()["items"]:
        client.post(f"/webhooks/backend/deliveries/{delivery['id']}/replay")
    lent_platform.settle()
    read_everything(client, server)
    watch.open_pages(root)

    assert len(endpoint.asked) >= 6
    assert watch.leaks() == {}


# the admin


def test_keeps_secrets_in_the_admins_forms(client, model, tool, endpoint, watch, root, workspace):
    browser = Client()
    browser.force_login(root)

    def post(page: str, *arguments: Any, **data: Any) -> None:
        answer = browser.post(reverse(f"admin:{page}", args=arguments), data)
        assert answer.status_code in (200, 302), page
        watch.add(f"page {page}", f"{answer.headers}\n{answer.content.decode()}")

    no_fallbacks = {"fallback_rows-TOTAL_FORMS": 0, "fallback_rows-INITIAL_FORMS": 0}
    form = no_fallbacks | {name: model[name] for name in ("provider", "model", "base_url", "api_key")}
    form |= {"workspace": workspace.pk, "enabled": "on", "purpose": "chat", "parameters": "{}"}
    post("agents_chatmodel_add", **form, name="made")
    assert ChatModel.objects.get(name="made").secret.value == model["api_key"]
    post("agents_chatmodel_add", **form, name="made")
    post("agents_chatmodel_add", **form | {"parameters": "nonsense"}, name="next")
    made = ChatModel.objects.get(name="made")
    post("agents_chatmodel_change", made.pk, **form | {"seen": str(made.version_id)}, name="renamed")
    for endpoint.answer in failures(model["api_key"]):
        post("agents_chatmodel_changelist", action="try_out", _selected_action=[made.pk])

    headers = json.dumps(tool["secret_headers"])
    form = {"workspace": workspace.pk, "tool_kind": "http", "request": json.dumps(tool["request"])}
    form |= {"arguments_schema": "{}", "timeout_seconds": 30, "new_secret_headers": headers, "enabled": "on"}
    form |= {"approval_default": "reject"}
    post("agents_tool_add", **form, name="made")
    assert Tool.objects.filter(name="made").exists()
    post("agents_tool_add", **form, name="made")
    post("agents_tool_add", **form | {"new_secret_headers": f"{headers}nonsense"}, name="next")
    post("agents_tool_add", **form | {"new_secret_headers": f"[{headers}]"}, name="next")

    post("login", username="root", password=watch.hide("wrong password", "a wrong password that is long"))
    right = watch.hide("typed password", "a password that is typed in")
    twice = {"password1": right, "password2": "something else that is long"}
    post("accounts_user_add", username="carol", usable_password="true", **twice)
    post("accounts_user_add", username="carol", usable_password="true", **twice | {"password2": right})
    post("auth_user_password_change", root.pk, usable_password="true", **twice)
    watch.open_pages(root, empty=True)

    assert watch.leaks() == {}


# accounts


def test_keeps_passwords_and_tokens_secret(client, open_client, watch, server, root, bob):
    anybody = open_client()
    password = give_password(bob, watch)
    new = watch.hide("new password", "a new password that is long")
    wrong = watch.hide("wrong password", "a wrong password that is long")
    for body in (
        {"username": "bob", "password": wrong},
        {"username": wrong, "password": wrong},
        {"password": [wrong]},
    ):
        assert anybody.post("/auth/login", json=body).status_code in (401, 422)
    anybody.post("/auth/login", content=f'{{"username": "bob", "password": "{wrong}"')
    answer = anybody.post("/auth/login", json={"username": "bob", "password": password})
    access, refresh = watch.shown(answer, "access", "refresh")
    bearer = {"Authorization": f"Bearer {access}"}
    for token in (access, refresh, f"{access}x"):
        anybody.post("/auth/verify", json={"token": token})
    anybody.get("/auth/me", headers=bearer)
    anybody.get("/runs", headers=bearer, params={"token": access})
    anybody.get("/auth/me", headers={"Authorization": f"Basic {access}"})
    for body in (
        {"current_password": wrong, "new_password": new},
        {"current_password": password, "new_password": "12345678"},
    ):
        assert anybody.post("/auth/password", json=body, headers=bearer).status_code == 422
    answer = anybody.post("/auth/refresh", json={"refresh": refresh})
    access, _ = watch.shown(answer, "access", "refresh")
    anybody.post("/auth/refresh", json={"refresh": refresh})
    bearer = {"Authorization": f"Bearer {access}"}
    body = {"current_password": password, "new_password": new}
    answer = anybody.post("/auth/password", json=body, headers=bearer)
    _, refresh = watch.shown(answer, "access", "refresh")
    for token in (refresh, f"{refresh}x"):
        assert anybody.post("/auth/logout", json={"refresh": token}).status_code == 204
    read_everything(client, server)
    watch.open_pages(root)

    assert watch.leaks() == {}


def test_keeps_keys_tickets_and_generated_passwords_secret(client, open_client, watch, server, root):
    make_agent(client)
    (key,) = watch.shown(client.post("/auth/api-keys", json={"name": "robot"}), "key")
    watch.said[-1].shows.add(watch.hide("key behind its prefix", key[VISIBLE_CHARACTERS:]))
    robot = open_client(headers={"X-API-Key": key})
    run = robot.post("/runs", json={"agent_id": "asker", "message": "Hello"}).json()["id"]
    robot.get("/auth/me", params={"api_key": key})
    for headers in (
        {"Authorization": f"Bearer {key}"},
        {"X-API-Key": f"{key}x"},
        {"Authorization": f"Basic {key}"},
    ):
        open_client(headers=headers).get("/auth/me")
    for _ in range(2):
        (ticket,) = watch.shown(robot.post("/auth/ticket"), "ticket")
        open_client().get(f"/runs/{run}/stream", params={"ticket": ticket})
        open_client().get(f"/runs/{run}/stream", params={"ticket": ticket})
    (ticket,) = watch.shown(robot.post("/auth/ticket"), "ticket")
    for query, headers in (
        (f"ticket={ticket}", {}),
        (f"ticket={ticket}", {}),
        (f"token={key}", {}),
        ("", {"X-API-Key": key}),
    ):
        watch.add(
            f"socket {query[:6]}",
            frames_of(f"{server.replace('http', 'ws')}/ws/runs/{run}/?{query}", headers),
        )
    member = {"username": "carol", "role": "user", "create_user": True}
    watch.shown(client.post("/workspaces/acme/members", json=member), "password")
    read_everything(client, server)
    for listed in client.get("/auth/api-keys").json()["items"]:
        client.delete(f"/auth/api-keys/{listed['id']}")
    robot.get("/auth/me")
    watch.open_pages(root)

    assert watch.leaks() == {}


def frames_of(url: str, headers: dict[str, str]) -> str:
    """All that a socket brings up to its end."""
    frames = []
    with connect(url, additional_headers=headers) as socket:
        try:
            while True:
                frames.append(socket.recv(timeout=10))
        except ConnectionClosed as closed:
            return "\n".join([*map(str, frames), str(closed)])
