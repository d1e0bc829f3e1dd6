"""The dashboard, the alerts and Prometheus's configuration name what the services show, and Prometheus itself accepts them."""

import json
import os
import re
import shutil
import stat
import subprocess
from collections import Counter
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from shown_metrics import ROOT, Metrics, labels_in, names_in, services_under, shown_by, shown_by_engine

from askback.local.settings import LocalSettings

PROMETHEUS, GRAFANA = ROOT / "deploy" / "prometheus", ROOT / "deploy" / "grafana"
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "askback.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RULES = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
CONFIG = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
OWN = {"up", "ALERTS"}  # Prometheus's own
TARGET_LABELS = {"job", "instance", "le", "alertstate", "version"}
promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")


def queries() -> list[tuple[str, str, str]]:
    """(where it stands, expression, legend) of every panel's query and every alert."""
    shown = [(panel["title"], target["expr"], target["legendFormat"]) for panel in PANELS for target in panel["targets"]]
    return shown + [(rule["alert"], rule["expr"], "") for rule in RULES]


@pytest.fixture
async def shown(tmp_path: Path) -> Metrics:
    async with services_under(tmp_path) as apps:
        return await shown_by(apps)


async def test_every_metric_and_label_that_is_read_is_shown_by_a_service(shown: Metrics) -> None:
    engine = find_spec("vllm")
    known_engine = shown_by_engine(Path(engine.origin).parent) if engine and engine.origin else None
    read: set[str] = set()
    for where, expression, legend in queries():
        names = names_in(expression) - OWN
        own = {name for name in names if not name.startswith("vllm:")}
        assert own <= shown.keys(), f"{where}: {own - shown.keys()} is shown by no service"
        assert known_engine is None or names - own <= known_engine, f"{where}: {names - own - known_engine} is shown by no engine"
        labels = labels_in(expression, legend) - TARGET_LABELS
        assert labels <= {label for name in own for label in shown[name]}, f"{where}: no metric there has a label of {labels}"
        kept = re.match(r"(?:sum|max|min) by \(([^)]*)\)", expression)
        assert kept is None or labels_in("", legend) <= set(kept[1].split(", ")), f"{where}: {legend} names a label that is summed away"
        read |= own
    assert len(read) > 30


async def test_every_service_shows_the_shared_metrics_and_its_own(tmp_path: Path) -> None:
    async with services_under(tmp_path) as apps:
        for name, app in apps.items():
            seen = await shown_by({name: app})
            assert {"askback_http_requests_total", "askback_build_info", "askback_volume_free_bytes", "process_resident_memory_bytes"} <= seen.keys()
            assert [metric for metric in seen if metric.startswith(f"askback_{name}_")], name


def test_names_and_labels_are_found_in_expressions() -> None:
    expression = 'sum by (job, le) (rate(a_b_bucket{x=~"u", y!="v"}[5m])) / on () vllm:c_d offset 30m > 2e9 and deriv(e[10m]) == 0'
    assert names_in(expression) == {"a_b_bucket", "vllm:c_d", "e"}
    assert labels_in(expression, "{{z}}") == {"job", "le", "x", "y", "z"}


def test_panels_have_ids_and_places_of_their_own_and_the_provisioned_source() -> None:
    source = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text(encoding="utf-8"))["datasources"][0]
    (provider,) = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "askback.yml").read_text(encoding="utf-8"))["providers"]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"
    everything = DASHBOARD["panels"]
    assert not [number for number, count in Counter(panel["id"] for panel in everything).items() if count > 1]
    places = [(panel["title"], *(panel["gridPos"][side] for side in "xywh")) for panel in everything]
    assert all(x >= 0 and x + w <= 24 for _, x, _, w, _ in places)
    for (one, x, y, w, h), (other, x2, y2, w2, h2) in combinations(places, 2):
        assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y, f"{one} and {other} overlap"
    for panel in PANELS:
        assert panel["description"] and panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} | {panel["datasource"]["uid"]} == {source["uid"]}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_prometheus_reads_every_service_with_the_key_and_the_engine_without() -> None:
    targets = {job["job_name"]: (job["static_configs"][0]["targets"], "authorization" in job) for job in CONFIG["scrape_configs"]}
    ports = LocalSettings(ROOT, ROOT, 8000, "").ports()
    services = {name: ([f"{name}:{port}"], True) for name, port in ports.items() if name not in {"engine", "redis"}}
    assert targets == services | {"student-engine": ([f"student-engine:{ports['engine']}"], False)}


def test_compose_starts_both_with_these_files_beside_the_services() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    hosts = {job["static_configs"][0]["targets"][0].split(":")[0] for job in CONFIG["scrape_configs"]}
    assert hosts <= compose.keys()
    for name, folder, target in (
        ("prometheus", "prometheus", "/etc/prometheus"),
        ("grafana", "grafana/provisioning", "/etc/grafana/provisioning"),
        ("grafana", "grafana/dashboards", "/etc/grafana/dashboards"),
    ):
        assert f"./deploy/{folder}:{target}:ro" in compose[name]["volumes"] and compose[name]["profiles"] == ["observability"]
    assert "/etc/prometheus/start.sh" in compose["prometheus"]["entrypoint"] and "ASKBACK_API_KEY" in compose["prometheus"]["environment"]


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES) >= 10
    for rule in RULES:
        assert rule["labels"]["severity"] in {"warning", "critical"} and rule["annotations"].keys() == {"summary", "remedy"}, rule["alert"]
        named = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        grouped = set(re.findall(r"\bsum by \(([^)]*)\)", rule["expr"]))
        assert not grouped or named <= {part.strip() for group in grouped for part in group.split(",")}, rule["alert"]


@pytest.mark.parametrize(("keys", "sent"), [("one,two", "one"), ("one", "one"), ("", ""), (None, "")])
def test_the_first_key_goes_into_a_file_for_prometheus_alone(keys: str | None, sent: str, tmp_path: Path) -> None:
    server, key_file = tmp_path / "prometheus", tmp_path / "askback-key"
    server.write_text('#!/bin/sh\necho "$@"\n')
    server.chmod(0o755)
    script = (PROMETHEUS / "start.sh").read_text(encoding="utf-8")
    assert CONFIG["scrape_configs"][0]["authorization"]["credentials_file"] == "/tmp/askback-key" and "/tmp/askback-key" in script
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"} | ({"ASKBACK_API_KEY": keys} if keys is not None else {})
    script = script.replace("/tmp/askback-key", str(key_file))
    done = subprocess.run(["sh", "-c", script, "sh", "--web.enable-lifecycle"], env=environment, capture_output=True, text=True, check=True)
    assert (key_file.read_text(), stat.S_IMODE(key_file.stat().st_mode)) == (sent, 0o600)
    assert "--config.file=/etc/prometheus/prometheus.yml" in done.stdout and done.stdout.endswith("--web.enable-lifecycle\n")


@promtool
def test_prometheus_accepts_the_configuration_and_the_alerts() -> None:
    for kind, name in (("config", "prometheus.yml"), ("rules", "alerts.yml")):
        subprocess.run(["promtool", "check", kind, *(["--syntax-only"] if kind == "config" else []), PROMETHEUS / name], check=True, timeout=60)


@promtool
def test_every_query_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": expr.replace("$__rate_interval", "1m")} for number, (_, expr, _) in enumerate(queries())]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", tmp_path / "rules.yml"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@promtool
def test_alerts_fire_when_they_should_and_not_before() -> None:
    cases = Path(__file__).with_name("alerts_test.yml")
    done = subprocess.run(["promtool", "test", "rules", cases], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
