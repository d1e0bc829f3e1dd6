"""What one object says of another is true: names, ports, images, volumes, keys."""

import re
from pathlib import Path

import pytest
import yaml

from askback import __version__
from tests.deploy.manifests import NAME, OVERLAYS, ROOT, containers, environment, key, matches, needs_kubectl, of_kind, overlay, workloads

pytestmark = [needs_kubectl, pytest.mark.parametrize("name", OVERLAYS)]
KEYS = {"ASKBACK_API_KEY", "REDIS_PASSWORD", "OPENAI_API_KEY", "HF_TOKEN"}
CPU_IMAGES = {"askback/student-engine", "askback/trainer"}


def test_a_service_leads_to_a_port_that_a_pod_opens(name: str) -> None:
    objects = overlay(name)
    for service in of_kind(objects, "Service"):
        picked = [
            template
            for template in workloads(objects).values()
            if matches({"matchLabels": service["spec"]["selector"]}, template["metadata"]["labels"])
        ]
        assert len(picked) == 1, service["metadata"]["name"]
        opened = {port["containerPort"] for port in picked[0]["spec"]["containers"][0]["ports"]}
        assert {port["port"] for port in service["spec"]["ports"]} == opened


def test_selectors_pick_their_own_pods(name: str) -> None:
    for manifest in of_kind(overlay(name), "Deployment", "StatefulSet"):
        assert matches(manifest["spec"]["selector"], manifest["spec"]["template"]["metadata"]["labels"])
        assert manifest["spec"]["template"]["metadata"]["labels"][NAME] == manifest["metadata"]["name"]


def test_what_is_mounted_exists_and_is_mounted(name: str) -> None:
    objects = overlay(name)
    known = {key(manifest) for manifest in objects}
    claims = {template["metadata"]["name"] for manifest in of_kind(objects, "StatefulSet") for template in manifest["spec"]["volumeClaimTemplates"]}
    for template in workloads(objects).values():
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        mounted = {mount["name"] for container in containers(template) for mount in container["volumeMounts"]}
        assert mounted == volumes.keys() | (mounted & claims)
        for volume in volumes.values():
            assert "configMap" not in volume or ("ConfigMap", volume["configMap"]["name"]) in known
            assert "persistentVolumeClaim" not in volume or ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in known


def test_every_claim_is_used(name: str) -> None:
    used = {
        volume["persistentVolumeClaim"]["claimName"]
        for template in workloads(overlay(name)).values()
        for volume in template["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert {manifest["metadata"]["name"] for manifest in of_kind(overlay(name), "PersistentVolumeClaim")} == used


def test_secrets_are_the_one_that_the_page_tells_to_create(name: str) -> None:
    objects = overlay(name)
    asked = [
        (variable["valueFrom"]["secretKeyRef"]["name"], variable["valueFrom"]["secretKeyRef"]["key"])
        for template in workloads(objects).values()
        for container in containers(template)
        for variable in container.get("env", [])
        if "secretKeyRef" in variable.get("valueFrom", {})
    ]
    asked += [
        (target["name"], target["key"]) for manifest in of_kind(objects, "TriggerAuthentication") for target in manifest["spec"]["secretTargetRef"]
    ]
    assert {secret for secret, _ in asked} == {"askback-keys"}
    assert {asked_key for _, asked_key in asked} <= KEYS
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    assert not [asked_key for asked_key in KEYS if asked_key not in page]


def test_everything_lives_in_one_namespace(name: str) -> None:
    objects = overlay(name)
    assert {manifest["metadata"].get("namespace") for manifest in objects if manifest["kind"] != "Namespace"} == {"askback"}
    assert ("Namespace", "askback") in {key(manifest) for manifest in objects}
    assert ("ServiceAccount", "askback") in {key(manifest) for manifest in objects}


def test_images_are_those_of_this_version(name: str) -> None:
    for template in workloads(overlay(name)).values():
        for container in containers(template):
            image, _, tag = container["image"].partition(":")
            assert tag == (f"{__version__}-cpu" if name == "cpu" and image in CPU_IMAGES else __version__)


def test_images_are_those_that_compose_builds(name: str) -> None:
    files = [ROOT / "docker-compose.yml", *([ROOT / "compose.cpu.yml"] if name == "cpu" else [])]
    if not all(file.is_file() for file in files):
        pytest.skip("there are no compose files")
    built = {image for file in files for image in composed_images(file)}
    used = {container["image"] for template in workloads(overlay(name)).values() for container in containers(template)}
    assert used <= built


def composed_images(file: Path) -> set[str]:
    text = re.sub(r"!\w+ ", "", file.read_text(encoding="utf-8"))
    services = yaml.safe_load(text)["services"].values()
    return {re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", service["image"]) for service in services if "image" in service}


def test_budgets_pick_pods(name: str) -> None:
    apps = workloads(overlay(name))
    for budget in of_kind(overlay(name), "PodDisruptionBudget"):
        for expression in budget["spec"]["selector"]["matchExpressions"]:
            assert set(expression["values"]) <= apps.keys()


def test_what_is_scaled_and_how_it_is_let_in_exist(name: str) -> None:
    objects = overlay(name)
    known = {key(manifest) for manifest in objects}
    scaled = of_kind(objects, "ScaledObject")
    assert bool(scaled) == (name != "cpu")
    for manifest in scaled:
        worker = manifest["spec"]["scaleTargetRef"]["name"]
        assert ("Deployment", worker) in known
        triggers = manifest["spec"]["triggers"]
        arguments = workloads(objects)[worker]["spec"]["containers"][0]["args"]
        assert triggers[0]["metadata"]["listName"].endswith(f":{arguments[arguments.index('-Q') + 1]}")
        assert all(("TriggerAuthentication", trigger["authenticationRef"]["name"]) in known for trigger in triggers)
        formula = set(re.findall(r"\w+", manifest["spec"]["advanced"]["scalingModifiers"]["formula"]))
        assert formula == {trigger["name"] for trigger in triggers}


def test_a_worker_has_time_to_let_its_job_go(name: str) -> None:
    for app, template in workloads(overlay(name)).items():
        grace = template["spec"].get("terminationGracePeriodSeconds", 30)
        waits = template["spec"]["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        needed = {"teacher": 16, "trainer-worker": 30}.get(app, 8)  # open requests, and paid answers; a training, and its record
        assert grace - waits > needed, app


def test_one_card_is_locked_by_all_who_use_it(name: str) -> None:
    objects = overlay(name)
    locked = {
        app: [volume["persistentVolumeClaim"]["claimName"] for volume in template["spec"]["volumes"] if volume["name"] == "gpu"]
        for app, template in workloads(objects).items()
        if environment(objects, template["spec"]["containers"][0]).get("GPU_LOCK")
    }
    users = ("student", "student-engine", "trainer-worker")
    assert locked == ({app: ["gpu-lock"] for app in users} if name == "gpu-one-card" else {})
    if locked:
        assert next(m for m in of_kind(objects, "ScaledObject") if m["metadata"]["name"] == "trainer-worker")["spec"]["maxReplicaCount"] == 1
        for app in ("student", "trainer-worker"):
            (term,) = workloads(objects)[app]["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
            assert matches(term["labelSelector"], {NAME: "student-engine"})
