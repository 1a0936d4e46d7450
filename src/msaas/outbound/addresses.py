"""Decides which IP addresses callbacks may be sent to: public ones, and those a setting allows. Resolves no names.

IPv4 has a block list from the special-purpose registry, since an allow list would go out of date with every new
allocation. IPv6 has an allow list: 2000::/3, all that was ever allocated, minus the registry's exceptions.
Source: https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address, IPv6Network, ip_network

from msaas.settings.networks import Address, Network

_NOT_PUBLIC = {
    "this network, unspecified": "0.0.0.0/8",
    "private": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16",
    "carrier-grade NAT": "100.64.0.0/10",
    "loopback": "127.0.0.0/8 ::1/128",
    # before link-local, which contains it: the reason names the actual target
    "cloud metadata": "169.254.169.254/32 168.63.129.16/32 fd00:ec2::254/128 fd20:ce::254/128",
    "link-local": "169.254.0.0/16 fe80::/10",
    "protocol assignments": "192.0.0.0/24 2001::/23",
    "documentation": "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20",
    "AS112": "192.31.196.0/24 192.175.48.0/24 2620:4f:8000::/48",
    "AMT relays": "192.52.193.0/24",
    "6to4": "192.88.99.0/24 2002::/16",
    "benchmarking": "198.18.0.0/15",
    "multicast": "224.0.0.0/4 ff00::/8",
    "reserved": "240.0.0.0/4",
    "unspecified": "::/128",
    "IPv4-mapped": "::ffff:0:0/96",
    "IPv4-translated": "::ffff:0:0:0/96",
    "IPv4-compatible": "::/96",
    "NAT64": "64:ff9b::/96 64:ff9b:1::/48",
    "discard-only": "100::/64 100:0:0:1::/64",
    "segment routing": "5f00::/16",
    "unique local": "fc00::/7",
    "site-local": "fec0::/10",
}
# Listed separately from 2001::/23, for a precise reason. First match wins.
_NAMED_FIRST = {"Teredo": "2001::/32", "benchmarking": "2001:2::/48", "ORCHID": "2001:10::/28 2001:20::/28"}


def _table() -> tuple[tuple[Network, str], ...]:
    rows = [*_NAMED_FIRST.items(), *_NOT_PUBLIC.items()]
    return tuple((ip_network(text), name) for name, texts in rows for text in texts.split())


NOT_PUBLIC = _table()
_GLOBAL_UNICAST = IPv6Network("2000::/3")


def why_not_public(address: Address) -> str | None:
    """The kind of a non-public address (`loopback`, `NAT64`, …); None if it is public."""
    for network, name in NOT_PUBLIC:
        if address in network:  # False for the other version
            return name
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return "outside 2000::/3"
    return None


def is_within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)
