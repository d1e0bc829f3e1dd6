"""The network policies allow what the settings need, and nothing else."""

import re
from typing import Any

import pytest

from tests.deploy.manifests import NAME, OVERLAYS, Manifest, containers, environment, matches, needs_kubectl, of_kind, overlay, workloads

pytestmark = [needs_kubectl, pytest.mark.parametrize("name", OVERLAYS)]
Edge = tuple[str, str, int]
_ADDRESS = re.compile(r"^(?:http|redis)://(?:[^@/]*@)?([a-z-]+):(\d+)")
PUBLIC = "0.0.0.0/0"
PRIVATE = {"10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"}


def needed(objects: tuple[Manifest, ...]) -> set[Edge]:
    """(caller, service, port) of every address in the settings."""
    return {
        (app, found[1], int(found[2]))
        for app, template in workloads(objects).items()
        for container in containers(template)
        for value in environment(objects, container).values()
        if (found := _ADDRESS.match(value))
    }


def rules(objects: tuple[Manifest, ...], app: str, side: str) -> list[tuple[dict[str, Any], int]]:
    """(peer, port) of each rule that holds for the pods of `app`; `side` is ingress or egress."""
    peers = "from" if side == "ingress" else "to"
    return [
        (peer, port["port"])
        for policy in of_kind(objects, "NetworkPolicy")
        if matches(policy["spec"]["podSelector"], {NAME: app}) and side.capitalize() in policy["spec"]["policyTypes"]
        for rule in policy["spec"].get(side, [])
        for peer in rule[peers]
        for port in rule["ports"]
    ]


def allowed(objects: tuple[Manifest, ...]) -> set[Edge]:
    """(caller, service, port) that both sides' policies let through."""
    apps = workloads(objects)
    sent = {
        (app, other, port)
        for app in apps
        for peer, port in rules(objects, app, "egress")
        for other in apps
        if "namespaceSelector" not in peer and "podSelector" in peer and matches(peer["podSelector"], {NAME: other})
    }
    taken = {
        (other, app, port)
        for app in apps
        for peer, port in rules(objects, app, "ingress")
        for other in apps
        if "namespaceSelector" not in peer and matches(peer["podSelector"], {NAME: other})
    }
    assert sent == taken, "one side allows what the other does not"
    return sent


def test_each_edge_that_the_settings_need_and_no_other(name: str) -> None:
    assert allowed(overlay(name)) == needed(overlay(name))


def test_the_engine_is_the_students_alone(name: str) -> None:
    assert {caller for caller, service, _ in allowed(overlay(name)) if service == "student-engine"} == {"student"}


def test_everything_else_is_denied(name: str) -> None:
    (deny,) = (policy for policy in of_kind(overlay(name), "NetworkPolicy") if policy["metadata"]["name"] == "deny-all")
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_who_may_leave_the_cluster(name: str) -> None:
    objects = overlay(name)
    leaving = {}
    for app in workloads(objects):
        for peer, port in rules(objects, app, "egress"):
            if "ipBlock" in peer:
                assert peer["ipBlock"]["cidr"] == PUBLIC
                assert set(peer["ipBlock"]["except"]) == PRIVATE
                leaving[app] = port
    assert leaving == {"teacher": 443, "loop": 443} | ({} if name == "cpu" else {"model": 443})


def test_who_may_come_from_other_namespaces(name: str) -> None:
    objects = overlay(name)
    coming = {
        (peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"], app, port)
        for app in workloads(objects)
        for peer, port in rules(objects, app, "ingress")
        if "namespaceSelector" in peer
    }
    asked = {
        ("keda", found[1], int(found[2]))
        for manifest in of_kind(objects, "ScaledObject")
        for trigger in manifest["spec"]["triggers"]
        for value in (trigger["metadata"].get("url", ""), trigger["metadata"].get("address", ""))
        if (found := re.match(r"^(?:http://)?([a-z]+)\.askback\.svc\.cluster\.local:(\d+)", value))
    }
    assert coming == asked | ({("ingress-nginx", "student", 8002)} if name == "gpu-ingress" else set())


def test_names_are_looked_up_at_the_clusters_own_server(name: str) -> None:
    objects = overlay(name)
    for app in workloads(objects):
        looked_up = {port for peer, port in rules(objects, app, "egress") if "namespaceSelector" in peer}
        assert looked_up == {53}


def test_an_ingress_shows_only_what_a_user_asks(name: str) -> None:
    paths = {
        path["path"]
        for manifest in of_kind(overlay(name), "Ingress")
        for rule in manifest["spec"]["rules"]
        for path in rule["http"]["paths"]
        if path["pathType"] == "Exact"
    }
    asking = {"/v1/ask", "/v1/clarify", "/v1/answer", "/v1/models", "/v1/completions", "/v1/chat/completions"}
    assert paths == (asking if name == "gpu-ingress" else set())
    assert all(manifest["spec"]["tls"] for manifest in of_kind(overlay(name), "Ingress"))
