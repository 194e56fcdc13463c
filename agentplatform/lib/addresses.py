"""Which network addresses the platform may connect to for its users: public ones, and what operators allow.

OUTBOUND_ALLOWED_HOSTS opens others: host names or `host:port`, addresses, networks like 10.0.0.0/8.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NAT64 = ipaddress.ip_network("64:ff9b::/96")
LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")
WORDS_BY_FLAG = {
    "is_unspecified": "an unspecified",
    "is_loopback": "a loopback",
    "is_link_local": "a link-local",
    "is_multicast": "a multicast",
    "is_reserved": "a reserved",
    "is_site_local": "a private",
    "is_private": "a private",
}


class OutboundRefused(Exception):
    """The platform does not connect to `host`; `reason` says why, in words for the person who named it."""

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(f"Connections to {host!r} are refused: {reason}.")
        self.host = host
        self.reason = reason


@dataclass(frozen=True, slots=True)
class AllowList:
    """Hosts (`name`, `name:port`) and networks that may be reached although they are not public."""

    hosts: frozenset[str]
    networks: tuple[Network, ...]

    @classmethod
    def of(cls, entries: Iterable[str]) -> AllowList:
        hosts, networks = set(), []
        for entry in entries:
            try:
                networks.append(ipaddress.ip_network(entry.strip("[]"), strict=False))
            except ValueError:
                hosts.add(entry.lower())
        return cls(frozenset(hosts), tuple(networks))

    def names(self, host: str, port: int) -> bool:
        host = host.lower().rstrip(".")
        return host in self.hosts or authority(host, port) in self.hosts

    def holds(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


@dataclass(frozen=True, slots=True)
class Guard:
    """Says which of a host's addresses may be connected to. The setting is read each time: it can change."""

    also_allowed: tuple[str, ...] = ()

    def permitted(self, host: str, port: int, addresses: Iterable[str]) -> list[str]:
        """Those of a host's addresses that may be used, in order. Raises OutboundRefused if none may."""
        allowed = _allow_list((*settings.OUTBOUND_ALLOWED_HOSTS, *self.also_allowed))
        if allowed.names(host, port):
            return list(addresses)
        permitted, reason = [], "it has no address"
        for text in addresses:
            address = as_address(text)
            found = refusal(address) if address else f"{text!r} is no address"
            if found is None or (address and allowed.holds(address)):
                permitted.append(text)
            else:
                reason = f"{found}; an operator can open it with OUTBOUND_ALLOWED_HOSTS"
        if not permitted:
            raise OutboundRefused(host, reason)
        return permitted


@functools.lru_cache(maxsize=32)
def _allow_list(entries: tuple[str, ...]) -> AllowList:
    return AllowList.of(entries)


def refusal(address: Address) -> str | None:
    """Why `address` is not a public one, or None. An IPv4 address inside an IPv6 one is judged itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if (inner := embedded(address)) is not None:
            return refusal(inner)
        if address.teredo or address in LOCAL_NAT64:
            return f"{address} is a tunnel's address"
    for flag, words in WORDS_BY_FLAG.items():
        if getattr(address, flag, False):
            return f"{address} is {words} address"
    return None if address.is_global else f"{address} is not a public address"


def embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv4-mapped, NAT64 or 6to4 address leads to."""
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def as_address(text: str) -> Address | None:
    """The address that `text` spells, without an IPv6 zone; None for a name."""
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def authority_of(url: str) -> str:
    """`host:port` of an http(s) URL, for an allow list. Raises OutboundRefused for what is no such URL."""
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise OutboundRefused(parts.netloc, "the port is not a number up to 65535") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise OutboundRefused(parts.netloc, "only absolute http:// and https:// URLs can be used")
    return authority(parts.hostname, port)


def check_url(url: str, also_allowed: tuple[str, ...] = ()) -> None:
    """Raises OutboundRefused for a URL that could never be used.

    Only what the URL itself shows is judged; names are resolved, and checked, when a connection is opened.
    """
    host, _, port = authority_of(url).rpartition(":")
    host = host.strip("[]")
    if "@" in urlsplit(url).netloc:
        raise OutboundRefused(
            host, "a URL must not hold a user name or password; use a secret header instead"
        )
    local = host == "localhost" or host.endswith(".localhost")
    if local or as_address(host):
        Guard(also_allowed).permitted(host, int(port), ["127.0.0.1" if local else host])


def source_of(address: str) -> str:
    """By what requests from an address are counted: its network or, where it is no IP address, the text itself."""
    return network_of(address) or address


def network_of(address: str) -> str:
    """An address as one source: of IPv6 the network that one customer has, so that it cannot be many. Empty: it is no
    IP address.
    """
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if known.version == 4:
        return str(known)
    return str(known.ipv4_mapped or ipaddress.ip_network((known, 64), strict=False))
