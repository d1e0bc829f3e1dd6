"""Every object of every overlay is what a cluster accepts, and every pod is locked down."""

import os
from collections import defaultdict
from pathlib import Path

import jsonschema
import pytest

from tests.deploy.keda_schema import KEDA
from tests.deploy.manifests import KUBERNETES, OVERLAYS, ROOT, Manifest, containers, environment, needs_kubectl, overlay, rendered, workloads

pytestmark = needs_kubectl
RELEASES = ("1.30", "1.37")  # the oldest that knows preStop's sleep, and the newest that the package has


def complaints(manifest: Manifest, release: str) -> str:
    """Empty when the object is valid in that release of Kubernetes, with no unknown field; else what is wrong."""
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    if manifest["apiVersion"].startswith("keda.sh/"):
        return "; ".join(error.message for error in jsonschema.Draft7Validator(KEDA[manifest["kind"]]).iter_errors(manifest))
    try:
        kubernetes_validate.validate(manifest, release, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", OVERLAYS)
@pytest.mark.parametrize("release", RELEASES)
def test_every_object_is_valid(name: str, release: str) -> None:
    wrong = {(manifest["kind"], manifest["metadata"]["name"]): complaints(manifest, release) for manifest in overlay(name)}
    assert not {place: text for place, text in wrong.items() if text}


def test_a_wrong_object_would_be_found() -> None:
    typo = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"port": []}}
    assert "port" in complaints(typo, RELEASES[0])
    scaled = next(manifest for manifest in overlay("gpu") if manifest["kind"] == "ScaledObject")
    assert complaints({**scaled, "spec": {**scaled["spec"], "minReplicas": 1}}, RELEASES[0])


def with_component(component: str, folder: Path) -> tuple[Manifest, ...]:
    """The overlay for GPUs with one more component."""
    places = (Path(os.path.relpath(KUBERNETES / part, folder.resolve())) for part in ("overlays/gpu", f"components/{component}"))
    (folder / "kustomization.yaml").write_text("resources: [{}]\ncomponents: [{}]\n".format(*places), encoding="utf-8")
    objects = rendered(folder)
    assert not [text for manifest in objects if (text := complaints(manifest, RELEASES[-1]))]
    return objects


@pytest.mark.parametrize("component", ["tensor-parallel", "data-parallel"])
def test_an_engine_on_two_cards(component: str, tmp_path: Path) -> None:
    objects = with_component(component, tmp_path)
    engine = workloads(objects)["student-engine"]["spec"]["containers"][0]
    assert environment(objects, engine)["ENGINE_PROFILE"] == component
    assert engine["resources"]["limits"]["nvidia.com/gpu"] == "2"


def test_prometheus_is_let_in_to_the_services_and_not_to_the_engine(tmp_path: Path) -> None:
    objects = with_component("monitoring", tmp_path)
    (policy,) = (manifest["spec"] for manifest in objects if manifest["metadata"]["name"] == "prometheus")
    services = {manifest["metadata"]["name"]: manifest["spec"]["ports"][0]["port"] for manifest in objects if manifest["kind"] == "Service"}
    (expression,) = policy["podSelector"]["matchExpressions"]
    assert set(expression["values"]) == services.keys() - {"redis", "student-engine"}
    assert [port["port"] for port in policy["ingress"][0]["ports"]] == sorted(services[name] for name in expression["values"])


def test_the_page_names_every_overlay_and_component() -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    assert {folder.name for folder in (KUBERNETES / "overlays").iterdir()} == set(OVERLAYS)
    assert not [folder.name for part in ("overlays", "components") for folder in (KUBERNETES / part).iterdir() if f"{folder.name}`" not in page]


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_pod_is_locked_down(name: str) -> None:
    for template in workloads(overlay(name)).values():
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["serviceAccountName"] == "askback"
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False, "TEACHER_PORT and its like would be taken for settings"
        for container in containers(template):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]


def test_the_overlay_without_cards_fits_the_node_that_the_page_names() -> None:
    units = {"m": 1e-3, "Mi": 2.0**-10, "Gi": 1.0}
    asked: dict[str, float] = defaultdict(float)
    for template in workloads(overlay("cpu")).values():
        for resource, text in template["spec"]["containers"][0]["resources"]["requests"].items():
            number = text.rstrip("mMGi")
            asked[resource] += float(number) * units.get(text.removeprefix(number), 1.0)
    assert asked["cpu"] < 3, "a cluster's own pods take about a core"
    assert asked["memory"] < 10


def test_cards_are_asked_for_by_engine_and_trainings_alone() -> None:
    for name in OVERLAYS:
        having = {
            app
            for app, template in workloads(overlay(name)).items()
            for container in containers(template)
            if "nvidia.com/gpu" in container["resources"]["limits"]
        }
        assert having == (set() if name == "cpu" else {"student-engine", "trainer-worker"})


def test_nothing_is_published_by_default() -> None:
    for name in OVERLAYS:
        kinds = {manifest["kind"] for manifest in overlay(name)}
        assert ("Ingress" in kinds) == (name == "gpu-ingress")
        assert all(manifest["spec"].get("type", "ClusterIP") == "ClusterIP" for manifest in overlay(name) if manifest["kind"] == "Service")
        assert "Secret" not in kinds, "a secret's values have no place in a file"
