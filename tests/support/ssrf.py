"""Addresses and URLs that lead inside, and connections that are bent to a server which counts them."""

from __future__ import annotations

import socket

PUBLIC = "93.184.215.14"
PUBLIC_V6 = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"

# What a name may resolve to, and why it is refused.
ANSWERS = [
    ("10.0.0.1", "private"),
    ("10.255.255.255", "private"),
    ("172.16.0.1", "private"),
    ("172.31.255.254", "private"),
    ("192.168.1.1", "private"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("0.0.0.0", "unspecified"),  # noqa: S104 - dialled, not bound
    ("0.1.2.3", "unspecified"),
    ("169.254.169.254", "metadata"),
    ("169.254.170.2", "link-local"),  # ECS credentials
    ("168.63.129.16", "metadata"),  # Azure, at a public address
    ("100.64.0.1", "carrier-grade NAT"),
    ("100.100.100.200", "carrier-grade NAT"),  # Alibaba's metadata
    ("100.127.255.255", "carrier-grade NAT"),
    ("192.0.0.192", "protocol assignments"),  # Oracle's metadata
    ("192.0.2.1", "documentation"),
    ("198.51.100.7", "documentation"),
    ("203.0.113.9", "documentation"),
    ("192.88.99.1", "6to4"),
    ("192.52.193.1", "AMT"),
    ("198.18.0.1", "benchmarking"),
    ("198.19.255.255", "benchmarking"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.250", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "reserved"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::7f00:1", "IPv4-compatible"),
    ("::ffff:127.0.0.1", "IPv4-mapped"),
    ("::ffff:93.184.215.14", "IPv4-mapped"),
    ("::ffff:0:7f00:1", "IPv4-translated"),
    ("64:ff9b::7f00:1", "NAT64"),
    ("64:ff9b::a9fe:a9fe", "NAT64"),
    ("64:ff9b:1::a00:1", "NAT64"),
    ("100::1", "discard-only"),
    ("2001::1", "Teredo"),
    ("2001:0:7f00:1::", "Teredo"),
    ("2001:2::1", "benchmarking"),
    ("2001:20::1", "ORCHID"),
    ("2001:db8::1", "documentation"),
    ("3fff::1", "documentation"),
    ("2002:7f00:1::", "6to4"),
    ("2002:a9fe:a9fe::1", "6to4"),
    ("4000::1", "outside 2000::/3"),
    ("5f00::1", "segment routing"),
    ("fc00::1", "unique local"),
    ("fd12:3456:789a::1", "unique local"),
    ("fd00:ec2::254", "metadata"),  # AWS
    ("fe80::1", "link-local"),
    ("fe80::1%eth0", "link-local"),
    ("fec0::1", "site-local"),
    ("ff02::1", "multicast"),
    ("ff0e::1", "multicast"),
]

# What a caller may write, and what the refusal says.
URLS = [
    ("http://127.0.0.1/", "loopback"),
    ("http://127.0.0.1:443/", "loopback"),
    ("http://127.0.0.1./", "loopback"),
    ("http://127.1/", "invalid IPv4"),
    ("http://127.0.1/", "invalid IPv4"),
    ("http://2130706433/", "invalid IPv4"),
    ("http://0x7f000001/", "invalid IPv4"),
    ("http://0x7f.0.0.0x1/", "invalid IPv4"),
    ("http://0177.0.0.1/", "invalid IPv4"),
    ("http://017700000001/", "invalid IPv4"),
    ("http://127.0.0.01/", "invalid IPv4"),
    ("http://0/", "invalid IPv4"),
    ("http://1.2.3.4.5/", "invalid IPv4"),
    ("http://256.256.256.256/", "invalid IPv4"),
    ("http://①②⑦.⓪.⓪.①/", "loopback"),
    ("http://１２７.0.0.1/", "loopback"),
    ("http://127。0。0。1/", "loopback"),
    ("http://0x7F000001/", "invalid IPv4"),
    ("http://[::1]/", "loopback"),
    ("http://[0:0:0:0:0:0:0:1]/", "loopback"),
    ("http://[::]/", "unspecified"),
    ("http://[::ffff:127.0.0.1]/", "IPv4-mapped"),
    ("http://[::ffff:7f00:1]/", "IPv4-mapped"),
    ("http://[::127.0.0.1]/", "IPv4-compatible"),
    ("http://[64:ff9b::127.0.0.1]/", "NAT64"),
    ("http://[fe80::1%25eth0]/", "IPv6"),
    ("http://[fe80::1%eth0]/", "IPv6"),
    ("http://[::1]evil.example/", "host and port"),
    ("http://[v7.x]/", "IP"),
    ("http://::1/", "host and port"),
    ("http://169.254.169.254/latest/meta-data/", "metadata"),
    ("http://[fd00:ec2::254]/", "metadata"),
    ("http://user@public.example/", "credentials"),
    ("http://user:secret@127.0.0.1/", "credentials"),
    ("http://public.example@127.0.0.1/", "credentials"),
    ("http://127.0.0.1@public.example/", "credentials"),
    ("http://public.example\\@127.0.0.1/", "backslash"),
    ("http:\\\\127.0.0.1\\", "backslash"),
    ("http://public.example /", "space"),
    ("http://127.0.0.1\t/", "control"),
    ("http://127.0.0.1\n.public.example/", "control"),
    ("http://127.0.0.1\0.public.example/", "control"),
    ("http://127.0.0%2e1/", "no valid host"),
    ("http://%31%32%37.example/", "no valid host"),
    ("http://public.example:22/", "port 22"),
    ("http://public.example:6379/", "port 6379"),
    ("http://public.example:0/", "port 0"),
    ("http://public.example:65536/", "65536"),
    ("http://public.example:８０/", ""),
    ("http://public.example:+80/", "host and port"),
    ("http:///etc/passwd", "no valid host"),
    ("http://./", "no valid host"),
    ("http://-x.example/", "no valid host"),
    ("http://public..example/", "no valid host"),
    ("http://" + "a." * 130 + "example/", "no valid host"),
    ("http://" + "a" * 64 + ".example/", "no valid host"),
    ("file:///etc/passwd", "not 'file'"),
    ("gopher://127.0.0.1:6379/_FLUSHALL", "not 'gopher'"),
    ("ftp://public.example/", "not 'ftp'"),
    ("dict://127.0.0.1:6379/", "not 'dict'"),
    ("unix:///run/docker.sock", "not 'unix'"),
    ("javascript:alert(1)", "not 'javascript'"),
    ("//public.example/", "not ''"),
    ("http://public.example/" + "x" * 2048, "limit"),
]


class Bent:
    """Dials the counting server instead, and notes which address was meant."""

    def __init__(self, port: int) -> None:
        self.port, self.meant = port, []

    def __call__(self, address, port, timeout_seconds):
        self.meant.append((str(address), port))
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout_seconds)
