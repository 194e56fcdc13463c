"""Limits of users, API keys and workspaces: what they refuse, what they tell, and what they cost."""

from __future__ import annotations

import asyncio
import shutil

import pytest
import time_machine
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from redis import ConnectionPool, Redis

from accounts.limits import admit_socket, check_rate, open_requests
from accounts.models import ApiKey
from agentplatform.lib.counters import count_each
from agentplatform.lib.environment import Environment
from agentplatform.lib.errors import RateLimited
from agentplatform.lib.request_end import KEY, RequestEnd, ending
from runs.consumers import close_code_by_status
from tests.crash.services import RedisServer
from tests.factories import ApiKeyFactory


@pytest.fixture
def rates(settings):
    """`rates(user="2/minute")` for one test."""

    def of(**rates):
        settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": rates}

    return of


@pytest.fixture
def at_once(settings):
    """`at_once(user=1)` for one test."""

    def of(**most):
        settings.OPEN_REQUESTS = {"user": 0, "key": 0, "workspace": 0, **most}

    return of


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel("2026-11-20T10:00:20Z", tick=False) as clock:
        yield clock


def statuses(client, count, path="/auth/me"):
    return [client.get(path).status_code for _ in range(count)]


# rates


def test_limits_a_user_whatever_it_signs_in_with(api, workspace, alice, rates):
    rates(user="2/minute")
    key = ApiKeyFactory(workspace=workspace, user=alice)
    assert [*statuses(api(alice), 1), *statuses(api(key), 2)] == [200, 200, 429]


def test_does_not_count_one_user_for_another(api, alice, bob, rates):
    rates(user="1/minute")
    assert [*statuses(api(alice), 1), *statuses(api(bob), 1)] == [200, 200]


def test_limits_each_key_by_itself(api, workspace, alice, rates):
    rates(key="1/minute")
    first, second = (ApiKeyFactory(workspace=workspace, user=alice) for _ in range(2))
    assert [statuses(api(key), 2) for key in (first, second)] == [[200, 429]] * 2


def test_limits_a_workspace_for_all_of_its_members(api, alice, bob, charlie, rates):
    rates(workspace="1/minute")
    assert [statuses(api(user), 1) for user in (alice, bob, charlie)] == [[200], [429], [200]]


def test_lets_requests_pass_again_after_the_period(api, alice, rates, clock):
    rates(user="1/minute")
    assert statuses(api(alice), 2) == [200, 429]
    clock.shift(40)
    assert statuses(api(alice), 1) == [200]


def test_says_when_to_come_again(api, alice, rates):
    rates(user="1/minute")
    statuses(api(alice), 1)
    answer = api(alice).get("/auth/me")
    assert (answer["Retry-After"], answer.json()["error"]["type"]) == ("40", "RateLimited")


def test_names_the_limit_that_is_used_up(api, alice, rates):
    rates(user="1/minute", workspace="100/minute")
    statuses(api(alice), 1)
    assert "(limit 'user')" in api(alice).get("/auth/me").json()["error"]["message"]


@pytest.mark.parametrize("owner", ["user", "workspace"])
def test_takes_an_own_limit_instead_of_the_settings(api, workspace, alice, rates, owner):
    rates(**{owner: "1/minute"})
    key = ApiKeyFactory(workspace=workspace, user=alice)
    limited = {"user": alice, "workspace": workspace}[owner]
    type(limited).objects.filter(pk=limited.pk).update(requests_per_minute=2)
    assert statuses(api(key), 3) == [200, 200, 429]


@pytest.mark.parametrize(
    ("own", "answers"), [(2, [200, 200, 429]), (9, [200] * 3 + [429]), (0, [200] * 3 + [429])]
)
def test_lets_a_key_narrow_its_limit_and_not_widen_it(api, workspace, alice, rates, own, answers):
    """Whoever has a key sets its limits; the platform's are the operator's."""
    rates(key="3/minute")
    key = ApiKeyFactory(workspace=workspace, user=alice, requests_per_minute=own)
    assert statuses(api(key), len(answers)) == answers


def test_uses_up_nothing_shared_with_what_it_refuses(api, alice, bob, rates):
    rates(user="2/minute", workspace="4/minute")
    assert statuses(api(alice), 9)[:3] == [200, 200, 429]
    assert statuses(api(bob), 2) == [200, 200]


def test_takes_nought_for_no_limit(api, alice, rates):
    rates(user="1/minute")
    type(alice).objects.filter(pk=alice.pk).update(requests_per_minute=0)
    assert statuses(api(alice), 3) == [200] * 3


def test_counts_a_chat_for_all_limits_at_once(api, one_thread, alice, rates):
    rates(user="9/minute", chat="5/minute")
    answer = api(alice).post("/chat", {"agent_id": "missing", "message": "Hello"})
    assert (answer.status_code, answer["RateLimit"]) == (404, '"user";r=8;t=40, "chat";r=4;t=40')


# header fields


def test_tells_what_remains_on_success(api, workspace, alice, rates):
    rates(user="10/minute", key="100/hour", workspace="5/second")
    answer = api(ApiKeyFactory(workspace=workspace, user=alice)).get("/auth/me")
    assert answer["RateLimit-Policy"] == '"user";q=10;w=60, "key";q=100;w=3600, "workspace";q=5;w=1'
    assert answer["RateLimit"] == '"user";r=9;t=40, "key";r=99;t=3580, "workspace";r=4;t=1'


def test_tells_on_a_refusal_that_nothing_remains(api, alice, rates):
    rates(user="1/minute")
    statuses(api(alice), 3)
    answer = api(alice).get("/auth/me")
    assert (answer.status_code, answer["RateLimit"]) == (429, '"user";r=0;t=40')


def test_says_nothing_where_there_is_no_limit(api, alice, rates):
    rates()
    assert "RateLimit" not in api(alice).get("/auth/me")


def test_lets_pages_of_other_origins_read_them(api, alice, rates, settings):
    settings.CORS_ALLOWED_ORIGINS = ["https://desk.example.com"]
    answer = api(alice).get("/auth/me", headers={"Origin": "https://desk.example.com"})
    assert {"RateLimit", "RateLimit-Policy"} <= set(answer["Access-Control-Expose-Headers"].split(", "))


# what they cost


@pytest.fixture(scope="module")
def redis_server():
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis(redis_server, settings, monkeypatch):
    """The shared cache in Redis; counts the round trips to it."""
    trips = []
    backend = "agentplatform.lib.redis_cache.RedisCache"
    there = {"BACKEND": backend, "LOCATION": redis_server.url}
    settings.CACHES = {**settings.CACHES, "default": there}
    caches["default"].clear()
    taken = ConnectionPool.get_connection

    def take(pool, *arguments, **options):
        trips.append(1)
        return taken(pool, *arguments, **options)

    monkeypatch.setattr(ConnectionPool, "get_connection", take)
    return trips


@pytest.mark.parametrize(("shared", "trips"), [("", 1), ("5/second", 2)])
def test_asks_redis_once_for_ones_own_limits_and_once_for_the_shared(
    redis, api, workspace, alice, rates, shared, trips
):
    rates(user="10/minute", key="100/hour", workspace=shared)
    key = ApiKeyFactory(workspace=workspace, user=alice)
    api(key).get("/auth/me")
    assert len(redis) == trips


def test_asks_redis_nothing_without_limits(redis, api, alice, rates):
    rates(user="")
    api(alice).get("/auth/me")
    assert redis == []


def test_counts_right_in_redis(redis, api, alice, rates):
    rates(user="2/minute")
    assert statuses(api(alice), 3) == [200, 200, 429]


def test_counters_in_redis_end_by_themselves(redis, redis_server):
    assert [count_each(caches["default"], {"a": 60, "b": 3600}) for _ in range(2)] == [[1, 1], [2, 2]]
    client = Redis(port=redis_server.port)
    assert sorted(round(client.ttl(key), -1) for key in client.scan_iter()) == [60, 3600]


# requests at once


async def run_ending(work):
    """Runs `work(scope)` as an ASGI application that has an end."""

    async def app(scope, receive, send):
        await work(scope)

    await ending(app)({"type": "http"}, None, None)


def test_counts_what_is_open_and_takes_it_back():
    policy = open_requests.OpenPolicy("user-open", 1, "user:1")
    (use,), close = open_requests.opened([policy])
    (refused,), nothing = open_requests.opened([policy])
    nothing()
    close()
    (again,), close = open_requests.opened([policy])
    close()
    assert (use.counted, refused.counted, again.counted, dict(open_requests._open)) == (1, 2, 1, {})


async def test_takes_it_back_when_the_client_goes_away():
    closed, begun = [], asyncio.Event()

    async def work(scope):
        scope[KEY].call(lambda: closed.append(1))
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(run_ending(work))
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert closed == [1]


def test_takes_back_at_once_what_comes_after_the_end():
    closed, end = [], RequestEnd()
    end.come()
    end.call(lambda: closed.append(1))
    assert closed == [1]


def test_limits_sockets_that_are_open_at_once(actor, alice, at_once):
    at_once(user=1)
    first, second, third = ({KEY: RequestEnd()} for _ in range(3))
    admit_socket(first, actor(alice))
    with pytest.raises(RateLimited, match="user-open"):
        admit_socket(second, actor(alice))
    first[KEY].come()
    admit_socket(third, actor(alice))
    third[KEY].come()


def test_closes_such_a_socket_with_a_code_of_its_own():
    assert close_code_by_status[RateLimited.status_code] == 4429


# changing them


def test_a_key_is_made_with_limits(api, alice):
    body = {"name": "nightly", "requests_per_minute": 30, "open_requests": 2}
    made = api(alice).post("/auth/api-keys", body).json()
    assert (made["requests_per_minute"], made["open_requests"]) == (30, 2)


def test_a_keys_limits_can_be_changed(api, workspace, alice):
    key = ApiKeyFactory(workspace=workspace, user=alice)
    answer = api(alice).patch(f"/auth/api-keys/{key.pk}", {"requests_per_minute": 7})
    assert (answer.status_code, ApiKey.objects.get().requests_per_minute) == (200, 7)


@pytest.mark.parametrize("field", ["name", "scopes", "expires_at"])
def test_nothing_else_of_a_key_can(api, workspace, alice, field):
    key = ApiKeyFactory(workspace=workspace, user=alice, name="nightly", scopes=["read:agent"])
    api(alice).patch(f"/auth/api-keys/{key.pk}", {field: {"scopes": ["read:run"]}.get(field, "x")})
    same = ApiKey.objects.get()
    assert (same.name, same.scopes, same.expires_at) == ("nightly", ["read:agent"], key.expires_at)


def test_a_key_cannot_raise_limits(api, workspace, alice):
    key = ApiKeyFactory(workspace=workspace, user=alice, requests_per_minute=5)
    answer = api(key).patch(f"/auth/api-keys/{key.pk}", {"requests_per_minute": 0})
    assert (answer.status_code, ApiKey.objects.get().requests_per_minute) == (403, 5)


@pytest.mark.parametrize(("wanted", "given"), [(None, 5), (0, 5), (9, 5), (3, 3)])
def test_a_key_made_with_a_key_has_no_wider_limits(api, workspace, alice, wanted, given):
    key = ApiKeyFactory(workspace=workspace, user=alice, requests_per_minute=5)
    made = api(key).post("/auth/api-keys", {"name": "child", "requests_per_minute": wanted})
    assert made.json()["requests_per_minute"] == given


def test_a_workspace_cannot_change_its_own(api, workspace, alice):
    api(alice).patch("/workspaces/acme", {"requests_per_minute": 0})
    workspace.refresh_from_db()
    assert workspace.requests_per_minute is None


@pytest.mark.parametrize("text", ["10", "ten/minute", "0/minute", "10/fortnight", "-1/second"])
def test_refuses_a_rate_that_cannot_be_read(monkeypatch, text):
    monkeypatch.setenv("USER_RATE", text)
    with pytest.raises(ImproperlyConfigured, match="USER_RATE must be"):
        Environment().rate("USER_RATE")


def test_check_rate_counts_by_one_key(rates):
    rates(chat="1/minute")
    check_rate("chat", "10.0.0.1")
    check_rate("chat", "10.0.0.2")
