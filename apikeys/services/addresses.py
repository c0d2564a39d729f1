"""Who calls, by address: trusted proxies, IPv6 networks, the bypass."""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings

Address = IPv4Address | IPv6Address
LONGEST_KEPT_HEADER = 200


@dataclass(frozen=True, slots=True)
class Client:
    """A caller's address, the name of its bucket, and whether it is let through unlimited."""

    address: str
    identity: str
    is_bypassed: bool


@lru_cache(maxsize=8)
def networks(entries: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(unmapped(ip_network(entry)) for entry in entries)


def unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """Write a network of IPv4 addresses mapped into IPv6 as the IPv4 network that callers are compared with."""
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    return IPv4Network((int(mapped), network.prefixlen - 96)) if mapped and network.prefixlen >= 96 else network


def parse_address(text: str) -> Address | None:
    """Read an address as peers and proxies write it: bare, `[v6]`, with a port, or IPv4 mapped into IPv6."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_within(address: Address, entries: list[str]) -> bool:
    return any(address in network for network in networks(tuple(entries)))


def find_client(*, peer: str, forwarded_for: str = "") -> Client:
    """Find the caller's address: the peer's, or what trusted proxies say in X-Forwarded-For.

    The header is walked from the right, and each step is believed only while the one who wrote it is a trusted
    proxy: so whatever a client puts there itself is never reached.
    """
    if not settings.TRUSTED_PROXY_CIDRS:
        forwarded_for = ""
    # A header that a client made long is not worth the memory.
    find = _find_client if len(forwarded_for) <= LONGEST_KEPT_HEADER else _find_client.__wrapped__
    return find(peer, forwarded_for)


@lru_cache(maxsize=4096)
def _find_client(peer: str, forwarded_for: str) -> Client:
    address = parse_address(peer)
    if address is None:  # a unix socket, or nothing: all such peers share a bucket
        return Client("", "ip:unknown", False)
    for entry in reversed(forwarded_for.split(",") if forwarded_for else []):
        if not is_within(address, settings.TRUSTED_PROXY_CIDRS):
            break
        previous = parse_address(entry)
        if previous is None:
            break
        address = previous
    return Client(str(address), address_identity(address), is_within(address, settings.RATE_LIMIT_BYPASS_CIDRS))


def address_identity(address: Address) -> str:
    """Name the bucket of an address; an IPv6 customer has a /64, so that is what is counted."""
    if isinstance(address, IPv6Address):
        return f"ip:{ip_network((int(address) >> 64 << 64, 64))}"
    return f"ip:{address}"


def forget_clients() -> None:
    """Drop what was remembered under other settings (tests)."""
    _find_client.cache_clear()
