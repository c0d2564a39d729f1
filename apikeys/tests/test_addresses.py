import subprocess
import sys

import pytest

from apikeys.services import addresses, find_client
from deploy.local.lint import plain_environment

PROXIES = ["10.0.0.0/8", "fd00::/8"]


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        ("198.51.100.7", "", "198.51.100.7"),
        ("198.51.100.7", "203.0.113.1", "198.51.100.7"),  # not a proxy of ours: its header means nothing
        ("10.0.0.1", "203.0.113.1", "203.0.113.1"),
        ("10.0.0.1", "6.6.6.6, 203.0.113.1", "203.0.113.1"),  # the left part is the client's invention
        ("10.0.0.1", "6.6.6.6, 203.0.113.1, 10.9.9.9", "203.0.113.1"),
        ("10.0.0.1", "10.1.1.1, 203.0.113.1", "203.0.113.1"),  # nor can it pose as internal
        ("10.0.0.1", "203.0.113.1:5123", "203.0.113.1"),
        ("10.0.0.1", "[2001:db8::5]:443", "2001:db8::5"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.1, garbage", "10.0.0.1"),
        ("10.0.0.1", ",,", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.1,", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.1\0", "10.0.0.1"),
        ("10.0.0.1", "::ffff:203.0.113.1", "203.0.113.1"),
        ("::ffff:10.0.0.1", "203.0.113.1", "203.0.113.1"),
        ("10.0.0.1", "fe80::1%eth0", "fe80::1"),
        ("10.0.0.1", "6.6.6.6," * 5000 + "203.0.113.1", "203.0.113.1"),
        ("::ffff:198.51.100.7", "", "198.51.100.7"),
        ("fd00::1", "2001:db8::9", "2001:db8::9"),
        ("", "203.0.113.1", ""),
    ],
)
def test_the_client_is_found_from_the_right(settings, peer, forwarded_for, expected):
    settings.TRUSTED_PROXY_CIDRS = PROXIES
    assert find_client(peer=peer, forwarded_for=forwarded_for).address == expected


def test_ipv6_addresses_share_the_bucket_of_their_64(settings):
    first = find_client(peer="2001:db8:1:2::1")
    assert first.identity == "ip:2001:db8:1:2::/64"
    assert find_client(peer="2001:db8:1:2:ffff::9").identity == first.identity
    assert find_client(peer="2001:db8:1:3::1").identity != first.identity


def test_the_bypass_asks_for_the_address_behind_the_proxy(settings):
    settings.TRUSTED_PROXY_CIDRS = ["10.0.0.0/8"]
    settings.RATE_LIMIT_BYPASS_CIDRS = ["192.168.0.0/16", "fd00::/8"]
    addresses.forget_clients()
    assert find_client(peer="10.0.0.1", forwarded_for="192.168.1.1").is_bypassed
    assert find_client(peer="fd00::7").is_bypassed
    assert not find_client(peer="10.0.0.1", forwarded_for="192.168.1.1, 203.0.113.1").is_bypassed
    assert not find_client(peer="203.0.113.1", forwarded_for="192.168.1.1").is_bypassed


def test_a_network_of_mapped_addresses_is_the_ipv4_network(settings):
    settings.TRUSTED_PROXY_CIDRS = ["::ffff:10.0.0.0/104"]
    settings.RATE_LIMIT_BYPASS_CIDRS = ["::ffff:192.168.1.0/120"]
    addresses.forget_clients()
    for peer in ("10.9.9.9", "::ffff:10.9.9.9"):
        for forwarded_for in ("192.168.1.1", "::ffff:192.168.1.1"):
            client = find_client(peer=peer, forwarded_for=forwarded_for)
            assert (client.identity, client.is_bypassed) == ("ip:192.168.1.1", True)
    assert not find_client(peer="10.9.9.9", forwarded_for="192.168.2.1").is_bypassed


def test_a_long_header_is_not_kept(settings):
    settings.TRUSTED_PROXY_CIDRS = PROXIES
    find_client(peer="10.0.0.1", forwarded_for="6.6.6.6, " * 100 + "203.0.113.1")
    assert addresses._find_client.cache_info().currsize == 0


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("RATE_LIMIT_BYPASS_CIDRS", "10.0.0.0/8,10.0.0.1/8", "10.0.0.1/8"),
        ("RATE_LIMIT_BYPASS_CIDRS", "fd00::/129", "fd00::/129"),
        ("TRUSTED_PROXY_CIDRS", "proxy.internal", "proxy.internal"),
        ("RATE_LIMIT", "60 per minute", "60 per minute"),
        ("RATE_LIMIT_ROUTES", "/elections:60", "/elections:60"),
        ("API_KEY_PEPPERS", "1:good,hunter2", "Entry 2"),
    ],
)
def test_a_setting_that_does_not_parse_stops_the_start_and_is_named(settings, name, value, named):
    done = subprocess.run(
        [sys.executable, "-c", "import config.settings.local"],
        env=plain_environment() | {name: value},
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert name in done.stderr
    assert named in done.stderr
    assert "hunter2" not in done.stderr
