"""The address guard: only public addresses, checked where the connection is opened."""

from __future__ import annotations

import gzip

import httpx2
import pytest

from agentplatform.lib import outbound
from agentplatform.lib.addresses import AllowList, OutboundRefused, as_address, check_url, refusal
from tests.agents.http_endpoint import Answer, HttpEndpoint

PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]
REFUSED = [
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::808:808",
    "2002:7f00:1::1",
    "2002:a00:1::",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
]


@pytest.fixture
def endpoint():
    with HttpEndpoint() as server:
        yield server


@pytest.fixture(autouse=True)
def _nothing_allowed(settings):
    settings.OUTBOUND_ALLOWED_HOSTS = []


def resolver(*answers):
    """A name server that gives these answers, one after the other; it counts how often it is asked."""
    remaining = list(answers)

    async def resolve(host, port):
        resolve.asked += 1
        return remaining.pop(0) if len(remaining) > 1 else remaining[0]

    resolve.asked = 0
    return resolve


async def get(url, **options):
    async with outbound.async_client(5, **options) as client:
        return await client.get(url)


@pytest.mark.parametrize("text", PUBLIC)
def test_lets_a_public_address_pass(text):
    assert refusal(as_address(text)) is None


@pytest.mark.parametrize("text", REFUSED)
def test_refuses_an_address_that_is_not_public(text):
    assert refusal(as_address(text)) is not None


async def test_refuses_a_private_address(endpoint):
    with pytest.raises(OutboundRefused, match="loopback"):
        await get(endpoint.url)


async def test_refuses_a_name_that_resolves_to_a_private_address(endpoint):
    with pytest.raises(OutboundRefused):
        await get(f"http://intranet.example.com:{endpoint.port}/", resolve=resolver(["127.0.0.1"]))


async def test_refuses_a_number_that_resolves_to_a_private_address(endpoint):
    with pytest.raises(OutboundRefused):
        await get(f"http://2130706433:{endpoint.port}/")


async def test_sends_nothing_to_a_refused_address(endpoint):
    with pytest.raises(OutboundRefused):
        await get(endpoint.url)
    assert endpoint.asked == []


async def test_connects_to_the_address_that_it_checked(endpoint, settings):
    """A name that is harmless when it is checked and private when it is used gains nothing."""
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    resolve = resolver(["127.0.0.1"], ["127.0.0.2"])
    await get(f"http://rebinding.example.com:{endpoint.port}/", resolve=resolve)
    assert (resolve.asked, len(endpoint.asked)) == (1, 1)


async def test_refuses_a_name_once_it_resolves_to_something_else(endpoint, settings):
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    endpoint.answer = Answer(headers={"Connection": "close"})
    resolve = resolver(["127.0.0.1"], ["10.0.0.1"])
    async with outbound.async_client(5, resolve=resolve) as client:
        await client.get(f"http://rebinding.example.com:{endpoint.port}/")
        with pytest.raises(OutboundRefused, match=r"10\.0\.0\.1"):
            await client.get(f"http://rebinding.example.com:{endpoint.port}/")


async def test_uses_the_public_ones_of_several_addresses(endpoint, settings):
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    response = await get(
        f"http://mixed.example.com:{endpoint.port}/", resolve=resolver(["10.0.0.1", "127.0.0.1"])
    )
    assert response.status_code == 200


async def test_tries_the_next_address_when_one_does_not_answer(endpoint, settings):
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.0/8"]
    url = f"http://several.example.com:{endpoint.port}/"
    response = await get(url, resolve=resolver(["127.0.0.77", "127.0.0.1"]))
    assert response.status_code == 200


async def test_keeps_the_host_header(endpoint, settings):
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    await get(f"http://shop.example.com:{endpoint.port}/", resolve=resolver(["127.0.0.1"]))
    assert endpoint.asked[0].headers["Host"] == f"shop.example.com:{endpoint.port}"


async def test_asks_the_resolver_once_for_a_kept_connection(endpoint, settings):
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    resolve = resolver(["127.0.0.1"])
    async with outbound.async_client(5, resolve=resolve) as client:
        for _ in range(3):
            await client.get(f"http://shop.example.com:{endpoint.port}/")
    assert resolve.asked == 1


async def test_does_not_follow_redirects_by_itself(endpoint, settings):
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    endpoint.answer = Answer(302, headers={"Location": "http://127.0.0.2/"})
    assert (await get(endpoint.url)).status_code == 302


async def test_checks_each_hop_of_a_redirect(endpoint, settings):
    settings.OUTBOUND_ALLOWED_HOSTS = [f"127.0.0.1:{endpoint.port}"]
    endpoint.answer = Answer(302, headers={"Location": "http://127.0.0.2/"})
    with pytest.raises(OutboundRefused, match=r"127\.0\.0\.2"):
        await get(endpoint.url, follow_redirects=True)


async def test_refuses_other_schemes():
    with pytest.raises(httpx2.UnsupportedProtocol):
        await get("file:///etc/passwd")


async def test_ignores_proxies_of_the_environment(endpoint, settings, monkeypatch):
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await get(endpoint.url)).status_code == 200


async def test_keeps_no_cookies(endpoint, settings):
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    endpoint.answer = Answer(headers={"Set-Cookie": "session=1"})
    async with outbound.async_client(5) as client:
        await client.get(endpoint.url)
        await client.get(endpoint.url)
    assert endpoint.asked[1].headers["Cookie"] is None


async def test_says_that_a_name_does_not_resolve():
    with pytest.raises(httpx2.ConnectError, match="does not resolve"):
        await get("http://nowhere.invalid/")


def test_guards_the_synchronous_client_too(endpoint):
    with outbound.client(5) as client, pytest.raises(OutboundRefused):
        client.get(endpoint.url)


def test_checks_names_in_the_synchronous_client_too(endpoint, settings):
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    with outbound.client(5, resolve=lambda host, port: ["127.0.0.1"]) as client:
        assert client.get(f"http://shop.example.com:{endpoint.port}/").status_code == 200


@pytest.mark.parametrize(
    ("entry", "host", "port"),
    [
        ("db.internal", "DB.internal", 1),
        ("db.internal", "db.internal.", 1),
        ("db.internal:5432", "db.internal", 5432),
        ("[::1]:80", "::1", 80),
    ],
)
def test_allows_a_listed_host(entry, host, port):
    assert AllowList.of([entry]).names(host, port)


def test_does_not_allow_another_port_of_a_listed_host():
    assert not AllowList.of(["db.internal:5432"]).names("db.internal", 22)


@pytest.mark.parametrize("entry", ["10.0.0.0/8", "10.1.2.3", "10.1.2.3/16"])
def test_allows_a_listed_network(entry):
    assert AllowList.of([entry]).holds(as_address("10.1.2.3"))


async def test_allows_what_the_client_was_made_for(endpoint):
    response = await get(endpoint.url, also_allowed=(f"127.0.0.1:{endpoint.port}",))
    assert response.status_code == 200


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "example.com",
        "//example.com/",
        "http://",
        "http://127.0.0.1/",
        "http://[::1]:8000/",
        "http://localhost:8000/",
        "http://app.localhost/",
        "http://user:secret@example.com/",
        "http://example.com:99999/",
    ],
)
def test_refuses_a_url_that_could_never_be_used(url):
    with pytest.raises(OutboundRefused):
        check_url(url)


def test_lets_a_usable_url_pass():
    check_url("https://api.example.com:8443/v1?x=1")


async def read(endpoint, limit):
    async with outbound.async_client(5) as client, client.stream("GET", endpoint.url) as response:
        return await outbound.read_limited(response, limit)


async def test_reads_a_body_up_to_its_limit(endpoint, settings):
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    endpoint.answer = Answer(body=b"x" * 100)
    assert len(await read(endpoint, 100)) == 100


async def test_stops_reading_beyond_the_limit(endpoint, settings):
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    endpoint.answer = Answer(body=b"x" * 101)
    with pytest.raises(outbound.ResponseTooLarge):
        await read(endpoint, 100)


async def test_unpacks_a_body(endpoint, settings):
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    endpoint.answer = Answer(body=gzip.compress(b"hello"), headers={"Content-Encoding": "gzip"})
    assert await read(endpoint, 100) == b"hello"


async def test_refuses_a_small_body_that_unpacks_to_a_large_one(endpoint, settings):
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    endpoint.answer = Answer(body=gzip.compress(b"x" * 1_000_000), headers={"Content-Encoding": "gzip"})
    with pytest.raises(outbound.ResponseTooLarge):
        await read(endpoint, 10_000)
