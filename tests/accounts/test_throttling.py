"""Rate limits, the brake on guessing, and whose address counts."""

from __future__ import annotations

import pytest
import time_machine
from django.core.cache import caches
from django.test import Client, RequestFactory

from accounts.limits import check_rate
from accounts.throttling import LoginGuard, client_address
from agentplatform.lib.errors import RateLimited
from tests.factories import PASSWORD


@pytest.fixture
def rates(settings):
    """`rates(chat="2/minute")` for one test."""

    def of(**rates):
        settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": rates}

    return of


@pytest.fixture
def clock():
    with time_machine.travel("2026-11-20T10:00:00Z", tick=False) as clock:
        yield clock


def test_lets_the_rate_pass(rates, clock):
    rates(chat="2/minute")
    check_rate("chat", "10.0.0.1")
    check_rate("chat", "10.0.0.1")


def test_refuses_beyond_the_rate(rates, clock):
    rates(chat="1/minute")
    check_rate("chat", "10.0.0.1")
    with pytest.raises(RateLimited):
        check_rate("chat", "10.0.0.1")


def test_says_how_long_to_wait(rates, clock):
    rates(chat="1/minute")
    clock.shift(20)
    check_rate("chat", "10.0.0.1")
    with pytest.raises(RateLimited) as caught:
        check_rate("chat", "10.0.0.1")
    assert caught.value.wait == pytest.approx(40)


def test_forgets_after_the_period(rates, clock):
    rates(chat="1/minute")
    check_rate("chat", "10.0.0.1")
    clock.shift(60)
    check_rate("chat", "10.0.0.1")


@pytest.mark.parametrize("other", [("chat", "10.0.0.2"), ("runs", "10.0.0.1")])
def test_counts_each_key_and_scope_by_itself(rates, clock, other):
    rates(chat="1/minute", runs="1/minute")
    check_rate("chat", "10.0.0.1")
    check_rate(*other)


def test_has_no_limit_where_the_rate_is_empty(rates):
    rates(chat="")
    for _ in range(50):
        check_rate("chat", "10.0.0.1")


def attempts(count, address="10.0.0.1", username="alice"):
    for _ in range(count):
        LoginGuard(address, username).enter()


def test_lets_the_free_attempts_pass(rates, clock):
    rates(login="3/minute")
    attempts(3)


def test_doubles_the_wait_with_each_further_failure(rates, clock):
    rates(login="3/minute")
    attempts(4)
    waits = []
    for _ in range(3):
        with pytest.raises(RateLimited) as caught:
            attempts(1)
        waits.append(caught.value.wait)
        clock.shift(caught.value.wait)
        attempts(1)
    assert waits == [2, 4, 8]


def test_waits_a_quarter_of_an_hour_at_most(rates, clock):
    rates(login="1/minute")
    attempts(2)
    for _ in range(12):
        with pytest.raises(RateLimited) as caught:
            attempts(1)
        clock.shift(caught.value.wait)
        attempts(1)
    with pytest.raises(RateLimited) as caught:
        attempts(1)
    assert caught.value.wait == 900


def test_does_not_lock_others_out(rates, clock):
    rates(login="1/minute")
    attempts(2)
    attempts(1, address="10.0.0.2")


def test_does_not_tell_capitals_apart(rates, clock):
    rates(login="1/minute")
    attempts(2)
    with pytest.raises(RateLimited):
        attempts(1, username="ALICE")


def test_slows_an_address_that_goes_through_many_names(rates, clock):
    rates(login="1/minute")
    for number in range(11):
        attempts(1, username=f"user{number}")
    with pytest.raises(RateLimited):
        attempts(1, username="another")


def test_forgives_after_success(rates, clock):
    rates(login="2/minute")
    for _ in range(30):
        guard = LoginGuard("10.0.0.1", "alice")
        guard.enter()
        guard.succeeded()


def sign_in(api, password):
    return api().post("/auth/login", {"username": "alice", "password": password})


def test_slows_guessing_over_rest(api, alice, rates):
    rates(login="2/minute")
    statuses = [sign_in(api, "wrong").status_code for _ in range(4)]
    assert statuses == [401, 401, 401, 429]


def test_says_when_to_try_again_over_rest(api, alice, rates):
    rates(login="1/minute")
    for _ in range(2):
        sign_in(api, "wrong")
    assert int(sign_in(api, PASSWORD).headers["Retry-After"]) >= 1


def test_slows_guessing_in_the_admin(alice, rates):
    rates(login="1/minute")
    body = {"username": "alice", "password": "wrong"}
    for _ in range(2):
        Client().post("/admin/login/", body)
    assert b"Too many failed attempts" in Client().post("/admin/login/", body).content


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "6.6.6.6", "10.0.0.9"),
        (0, "", "10.0.0.9"),
        (1, "6.6.6.6, 1.2.3.4", "1.2.3.4"),
        (2, "6.6.6.6, 1.2.3.4, 10.0.0.8", "1.2.3.4"),
        (2, "1.2.3.4", "10.0.0.9"),
        (1, "", "10.0.0.9"),
    ],
)
def test_believes_as_many_proxies_as_are_ours(settings, proxies, forwarded, address):
    settings.TRUSTED_PROXIES = proxies
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    assert client_address(RequestFactory().get("/", headers=headers, REMOTE_ADDR="10.0.0.9")) == address


@pytest.fixture
def absent_redis(settings):
    """The cache that all processes share does not answer."""
    options = {"socket_connect_timeout": 0.1, "socket_timeout": 0.1}
    backend = "agentplatform.lib.redis_cache.RedisCache"
    there = {"BACKEND": backend, "LOCATION": "redis://127.0.0.1:1", "OPTIONS": options}
    settings.CACHES = {**settings.CACHES, "default": there}
    yield
    caches["own"].clear()


def test_lets_the_rate_pass_while_redis_is_away(absent_redis, rates, clock):
    rates(chat="2/minute")
    check_rate("chat", "10.0.0.1")
    check_rate("chat", "10.0.0.1")


def test_refuses_beyond_the_rate_while_redis_is_away(absent_redis, rates, clock):
    rates(chat="1/minute")
    check_rate("chat", "10.0.0.1")
    with pytest.raises(RateLimited):
        check_rate("chat", "10.0.0.1")


def test_slows_guessing_down_while_redis_is_away(absent_redis, rates, clock):
    rates(login="1/minute")
    for _ in range(2):
        LoginGuard("10.0.0.1", "alice").enter()
    with pytest.raises(RateLimited):
        LoginGuard("10.0.0.1", "alice").enter()


def test_takes_a_network_of_ipv6_for_one_address():
    """Whoever has an address of it has as many as there are passwords to guess."""
    first, second, other = (
        LoginGuard(address, "alice").keys for address in ("2001:db8::1", "2001:db8::2", "2001:db8:1::1")
    )
    assert first == second != other
