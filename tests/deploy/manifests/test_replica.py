"""The replica of Redis is the same Redis, follows the first, and may be called by whoever calls the first."""

import pytest

from tests.deploy.conftest import container_of, matches, named, of_kind, pod_of, render


@pytest.fixture
def manifests():
    return render("cluster-test")


@pytest.fixture
def both(manifests):
    return named(manifests, "StatefulSet", "redis"), named(manifests, "StatefulSet", "redis-replica")


def test_the_replica_differs_from_redis_by_what_it_follows(both):
    redis, replica = (container_of(one) for one in both)
    follows = (
        replica["args"][0].replace("--replicaof redis-primary 6379 ", "").replace(' --masterauth "$REDISCLI_AUTH"', "")
    )
    assert follows == redis["args"][0]
    assert {key: value for key, value in replica.items() if key != "args"} == {
        key: value for key, value in redis.items() if key != "args"
    }
    assert pod_of(both[0])["spec"]["securityContext"] == pod_of(both[1])["spec"]["securityContext"]


def test_each_has_a_service_of_its_own(manifests, both):
    for name, pods in (("redis-primary", both[0]), ("redis-replica", both[1]), ("redis", both[0])):
        selector = named(manifests, "Service", name)["spec"]["selector"]
        assert [one for one in both if matches({"matchLabels": selector}, pod_of(one)["metadata"]["labels"])] == [pods]


def allowed(manifests, client, server):
    labels = {"app.kubernetes.io/name": client, "app.kubernetes.io/part-of": "msaas"}
    return any(
        matches(policy["spec"]["podSelector"], {"app.kubernetes.io/name": server, "app.kubernetes.io/part-of": "msaas"})
        and any(
            matches(peer["podSelector"], labels)
            for rule in policy["spec"].get("ingress", [])
            for peer in rule["from"]
            if "podSelector" in peer
        )
        for policy in of_kind(manifests, "NetworkPolicy")
    )


@pytest.mark.parametrize("client", ["rest-server", "worker", "logs"])
def test_whoever_calls_redis_may_call_the_replica(manifests, client):
    assert allowed(manifests, client, "redis") and allowed(manifests, client, "redis-replica")


def test_the_two_may_call_each_other_and_others_neither(manifests):
    assert allowed(manifests, "redis", "redis-replica") and allowed(manifests, "redis-replica", "redis")
    assert not allowed(manifests, "minio", "redis-replica") and not allowed(manifests, "backup", "redis-replica")
