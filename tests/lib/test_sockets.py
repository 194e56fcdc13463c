"""The network streams under the guarded client, against real sockets: order, limits, timeouts, TLS."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import ssl

import httpcore2
import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agentplatform.lib import outbound
from agentplatform.lib.sockets import connect

MEGABYTE = 1024 * 1024
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(autouse=True)
def _local(settings):
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]


@contextlib.asynccontextmanager
async def serving(handler, **options):
    """A server on a free port of this machine; every connection runs `handler(reader, writer)`."""

    async def handle(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def silence(reader, writer):
    await reader.read()


async def read_all(stream, size):
    received = b""
    while len(received) < size:
        received += await stream.read(65536, 5)
    return received


async def test_reads_what_was_written():
    async with serving(echo) as port:
        stream = await connect("127.0.0.1", port, 5)
        await stream.write(b"hello", 5)
        assert await stream.read(100, 5) == b"hello"
        await stream.aclose()


async def test_reads_no_more_than_it_is_asked_for():
    async with serving(echo) as port:
        stream = await connect("127.0.0.1", port, 5)
        await stream.write(b"hello", 5)
        assert [await stream.read(3, 5), await stream.read(3, 5)] == [b"hel", b"lo"]
        await stream.aclose()


async def test_joins_what_came_in_since_the_last_read():
    async with serving(echo) as port:
        stream = await connect("127.0.0.1", port, 5)
        for number in range(5):
            await stream.write(b"%d" % number, 5)
            await asyncio.sleep(0.02)
        assert await stream.read(100, 5) == b"01234"
        await stream.aclose()


async def test_sends_what_is_written_together_as_one():
    sizes = []

    async def measure(reader, writer):
        sizes.append(len(await reader.read(65536)))
        writer.write(b"x")

    async with serving(measure) as port:
        stream = await connect("127.0.0.1", port, 5)
        await stream.write(b"head", 5)
        await stream.write(b"body", 5)
        await stream.read(1, 5)
        await stream.aclose()
    assert sizes == [8]


async def test_carries_more_than_its_buffers_hold():
    payload = bytes(range(256)) * (4 * MEGABYTE // 256)
    async with serving(echo) as port:
        stream = await connect("127.0.0.1", port, 5)
        received, _ = await asyncio.gather(read_all(stream, len(payload)), stream.write(payload, 5))
        assert received == payload
        await stream.aclose()


async def test_holds_a_fast_sender_back():
    sent = 0

    async def flood(reader, writer):
        nonlocal sent
        while sent < 64 * MEGABYTE:
            writer.write(b"x" * 65536)
            sent += 65536
            await writer.drain()

    async with serving(flood) as port:
        stream = await connect("127.0.0.1", port, 5)
        await asyncio.sleep(0.3)
        held = sent
        assert held < 32 * MEGABYTE
        await read_all(stream, 8 * MEGABYTE)
        await asyncio.sleep(0.1)
        assert sent > held
        await stream.aclose()


async def test_ends_when_the_peer_ends():
    async def goodbye(reader, writer):
        writer.write(b"bye")

    async with serving(goodbye) as port:
        stream = await connect("127.0.0.1", port, 5)
        await asyncio.sleep(0.05)
        assert [await stream.read(10, 5), await stream.read(10, 5)] == [b"bye", b""]


async def test_does_not_wait_for_a_silent_peer_for_ever():
    async with serving(silence) as port:
        stream = await connect("127.0.0.1", port, 5)
        with pytest.raises(httpcore2.ReadTimeout):
            await stream.read(1, 0.05)
        await stream.aclose()


async def test_does_not_wait_for_a_peer_that_reads_nothing():
    async def deaf(reader, writer):
        await asyncio.sleep(2)

    async with serving(deaf, limit=1024) as port:
        stream = await connect("127.0.0.1", port, 5)
        with pytest.raises(httpcore2.WriteTimeout):
            await stream.write(b"x" * 64 * MEGABYTE, 0.1)
        stream._wire.transport.abort()


async def test_says_that_the_connection_broke():
    async def reset(reader, writer):
        await reader.read(1)
        writer.transport.abort()

    async with serving(reset) as port:
        stream = await connect("127.0.0.1", port, 5)
        await stream.write(b"x", 5)
        await asyncio.sleep(0.05)
        with pytest.raises(httpcore2.WriteError):
            await stream.write(b"x", 5)


async def test_says_that_nobody_is_there():
    with pytest.raises(httpcore2.ConnectError):
        await connect("127.0.0.1", 9, 1)


async def test_knows_when_an_idle_connection_was_closed():
    async def leave(reader, writer):
        await reader.read(1)

    async with serving(leave) as port:
        stream = await connect("127.0.0.1", port, 5)
        before = stream.get_extra_info("is_readable")
        await stream.write(b"x", 5)
        await asyncio.sleep(0.05)
        assert (before, stream.get_extra_info("is_readable")) == (False, True)


async def test_replaces_an_idle_connection_that_was_closed():
    connections = 0

    async def once(reader, writer):
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)

    async with serving(once) as port, outbound.async_client(5) as client:
        await client.get(f"http://127.0.0.1:{port}/")
        await asyncio.sleep(0.05)
        await client.get(f"http://127.0.0.1:{port}/")
    assert connections == 2


async def test_uses_no_connection_again_whose_answer_was_given_up():
    async def slow(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.2)
        writer.write(OK)

    async with serving(slow) as port, outbound.async_client(5) as client:
        request = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/first"))
        await asyncio.sleep(0.05)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert (await client.get(f"http://127.0.0.1:{port}/second")).text == "ok"


def certificate(folder, name):
    """A certificate for `name` and 127.0.0.1, signed by itself: (server's context, client's context)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    signed = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cafile=str(pem))


@pytest.fixture
def tls(tmp_path, monkeypatch):
    """The server's context for shop.example.com; the guarded client trusts it."""
    server, client = certificate(tmp_path, "shop.example.com")
    monkeypatch.setattr(outbound, "_ssl_context", lambda: client)
    return server


async def home(host, port):
    return ["127.0.0.1"]


async def answer(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(OK)
    await writer.drain()


async def test_speaks_tls_under_the_urls_name(tls):
    names = []
    tls.sni_callback = lambda _, name, __: names.append(name)
    async with serving(answer, ssl=tls) as port, outbound.async_client(5, resolve=home) as client:
        assert (await client.get(f"https://shop.example.com:{port}/")).text == "ok"
    assert names == ["shop.example.com"]


async def test_refuses_a_certificate_of_another_name(tls):
    async with serving(answer, ssl=tls) as port, outbound.async_client(5, resolve=home) as client:
        with pytest.raises(httpx2.ConnectError, match="certificate"):
            await client.get(f"https://bank.example.com:{port}/")


async def test_does_not_wait_for_a_handshake_for_ever(tls):
    async with serving(silence) as port, outbound.async_client(0.1, resolve=home) as client:
        with pytest.raises(httpx2.ConnectTimeout):
            await client.get(f"https://shop.example.com:{port}/")


async def test_carries_large_bodies_over_tls(tls):
    async def large(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000)
        await writer.drain()

    async with serving(large, ssl=tls) as port, outbound.async_client(5, resolve=home) as client:
        assert len((await client.get(f"https://shop.example.com:{port}/")).content) == 3_000_000
