"""Parses networks from a setting. No I/O."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def parse_networks(text: str) -> tuple[Network, ...]:
    """`127.0.0.0/8, fd00::/8` ▸ networks. Raises ValueError; host bits are refused as a likely typing error."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
