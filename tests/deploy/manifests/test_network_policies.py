"""What `production` lets through is what the parts need, and no more than is meant."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from msaas.settings import Settings
from tests.deploy.conftest import environment_of, matches, named, of_kind, render


def test_network_policies_let_through_what_the_parts_need():
    policies = of_kind(render("production"), "NetworkPolicy")
    for client, server, port in (
        ("rest-server", "redis", 6379),
        ("worker", "redis", 6379),
        ("logs", "redis", 6379),
        ("rest-server", "minio", 9000),
        ("worker", "minio", 9000),
        ("minio-buckets", "minio", 9000),
    ):
        assert _allowed(policies, "egress", client, "to", server, port), (client, server)
        assert _allowed(policies, "ingress", server, "from", client, port), (client, server)
    assert not _allowed(policies, "egress", "logs", "to", "minio", 9000)


@pytest.mark.parametrize("overlay", ["production", "full"])
@pytest.mark.parametrize("part", ["rest-server", "worker"])
def test_callbacks_leave_by_the_ports_that_the_setting_names(overlay, part):
    manifests = render(overlay)
    [rule] = named(manifests, "NetworkPolicy", "callbacks")["spec"]["egress"]
    settings = Settings.from_env(environment_of(named(manifests, "Deployment", part), manifests))
    assert {(port["protocol"], port["port"]) for port in rule["ports"]} == {
        ("TCP", port) for port in settings.callback_ports
    }


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("10.96.0.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),  # a cloud's metadata
        ("172.20.0.9", False),
        ("192.168.1.1", False),
        ("100.100.100.200", False),
        ("fd00:ec2::254", False),
        ("fe80::1", False),
        ("::1", False),
    ],
)
def test_callbacks_reach_the_public_internet_alone(address, may):
    [rule] = named(render("production"), "NetworkPolicy", "callbacks")["spec"]["egress"]
    assert any(_within(ip_address(address), found["ipBlock"]) for found in rule["to"]) is may


def test_what_no_policy_names_is_denied():
    policies = of_kind(render("production"), "NetworkPolicy")
    assert named(policies, "NetworkPolicy", "deny-all")["spec"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
    }
    for server in ("redis", "minio"):
        labels = {"app.kubernetes.io/name": server, "app.kubernetes.io/part-of": "msaas"}
        ways_out = [
            policy["metadata"]["name"]
            for policy in policies
            if policy["spec"].get("egress") and matches(policy["spec"]["podSelector"], labels)
        ]
        assert ways_out == ["names"], "a server calls nobody"


def _within(address, block):
    return address in ip_network(block["cidr"]) and not any(
        address in ip_network(excepted) for excepted in block.get("except", [])
    )


def _allowed(policies, direction, subject, side, peer, port):
    """Whether a policy for `subject` lets it talk to `peer` on `port`."""

    def is_name(selector, name):
        return matches(selector, {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "msaas"})

    return any(
        is_name(policy["spec"]["podSelector"], subject)
        and any(
            any(
                is_name(found["podSelector"], peer)
                for found in rule.get(side, [])
                if "namespaceSelector" not in found and "podSelector" in found
            )
            and port in {allowed["port"] for allowed in rule["ports"]}
            for rule in policy["spec"].get(direction, [])
        )
        for policy in policies
    )
