"""The stack in containers from its first start to its last trace, in this order: each test finds it as the one before it left it."""

import json
import socket
import subprocess
import time
from collections import Counter

import httpx
import pytest
from compose_stack import KEY, PORTS, PROJECT, ComposeStack, docker, wait_until

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1800)]

OPEN = {"/healthz", "/readyz", "/"}
ROWS = 8
KILLED_IN_HARVEST = [
    "teacher", "student", "redis", "student-engine", "retriever", "evaluator", "evaluator-worker", "trainer", "trainer-worker",
]  # fmt: skip
KILLED_IN_TRAINING = [
    "trainer-worker", "redis", "trainer", "student", "teacher", "retriever", "evaluator", "evaluator-worker", "student-engine",
]  # fmt: skip


def test_a_cold_start_is_healthy_within_four_minutes(stack: ComposeStack) -> None:
    print(f"\nbuilt in {stack.seconds['build']:.0f} s, up in {stack.seconds['up']:.0f} s")
    assert stack.seconds["up"] <= 240


def test_the_student_answers(stack: ComposeStack) -> None:
    with stack.http("student") as student:
        answer = student.post("/v1/ask", json={"question": "Is the Amazon River in Peru?", "question_id": ""})
    assert answer.status_code == 200, answer.text
    assert answer.json()["final"]["answer"] in ("yes", "no") and answer.json()["answered_by"] == "paid"


def test_nothing_is_open_to_another_host(stack: ComposeStack) -> None:
    """From a container of another network every address of this host is tried, and from the host its own address that is not loopback."""
    own = docker("exec", stack.ids()["paid"], "hostname", "-i")[0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; names the address that faces the network
        outside = probe.getsockname()[0]
    inside = [json.loads(line)["Name"] for line in stack.run("ps", "--format", "json").splitlines()]
    addresses = [docker("inspect", name, "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}")[0] for name in inside]
    ports = sorted({*PORTS.values(), *range(8000, 8006), 6379, 9090, 3000, 6333})
    script = (
        "import concurrent.futures, itertools, pathlib, socket, struct, sys\n"
        "routes = [line.split() for line in pathlib.Path('/proc/net/route').read_text().splitlines()[1:]]\n"
        "gateways = [socket.inet_ntoa(struct.pack('<L', int(row[2], 16))) for row in routes if row[1] == '00000000']\n"
        "def open_at(place):\n"
        "    with socket.socket() as probe:\n"
        "        probe.settimeout(1)\n"
        "        return probe.connect_ex(place) == 0\n"
        "places = list(itertools.product({*gateways, *sys.argv[1].split(',')}, map(int, sys.argv[2].split(','))))\n"
        "with concurrent.futures.ThreadPoolExecutor(64) as pool:\n"
        "    print(*(place for place, found in zip(places, pool.map(open_at, places)) if found))\n"
    )
    tried = ",".join(map(str, ports))
    listed = ",".join([outside, *addresses])
    assert own in addresses
    found = docker("run", "--rm", "--network", "bridge", "python:3.11-slim-bookworm", "python", "-c", script, listed, tried)
    assert not found, found
    seen = stack.run("exec", "-T", "paid", "python", "-c", script, listed, "8001")
    assert "8001" in seen  # the same look, from within the stack's own network, finds the teacher
    here = subprocess.run(["python3", "-c", script, outside, ",".join(map(str, PORTS.values()))], capture_output=True, text=True)
    assert here.returncode == 0 and not here.stdout.strip(), here.stdout + here.stderr


@pytest.mark.parametrize("service", PORTS)
def test_every_route_but_health_asks_for_the_key(stack: ComposeStack, service: str) -> None:
    with stack.http(service) as known, stack.http(service, key="") as unknown, stack.http(service, key=KEY + "x") as wrong:
        described = known.get("/openapi.json")
        assert described.status_code == 200
        routes = [(verb, path) for path, verbs in described.json()["paths"].items() for verb in verbs]
        routes += [("get", "/metrics"), ("get", "/openapi.json"), ("get", "/docs"), ("get", "/nowhere"), ("get", "/v1/models")]
        for verb, path in routes:
            expected = {200, 503} if path in OPEN else {401}
            if path.startswith("/playground/"):
                continue  # the page's files hold nothing; its calls carry the key
            for caller in (unknown, wrong):
                assert caller.request(verb.upper(), path.replace("{", "").replace("}", "")).status_code in expected, (verb, path)
    assert len(routes) > 6


def test_containers_are_locked_down(stack: ComposeStack) -> None:
    for service in stack.ids():
        if service == "paid":
            continue
        found = stack.inspect(service)
        host = found["HostConfig"]
        assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and host["Init"] and host["Memory"] > 0, service
        assert host["SecurityOpt"] == ["no-new-privileges:true"] and not host["Privileged"], service
        assert found["Config"]["User"] == "10001:10001", service
        wrote = stack.run("exec", "-T", service, "sh", "-c", "touch /app/x /x 2>/dev/null; ls /app/x /x 2>/dev/null", check=False)
        assert not wrote.strip(), service
        # only redis-cli's variable is allowed to hold a secret in an image's or a container's layers
        history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", found["Config"]["Image"])
        assert KEY not in " ".join(history), service


def test_the_loop_ends_though_each_container_is_killed_in_its_harvest(stack: ComposeStack) -> None:
    """`kill -9` of one after the other while rows are under way; the teacher is swapped meanwhile as well."""
    loop = stack.loop("harvest", "configs/cut.toml", "--id", "killed")
    wait_until(lambda: bool(stack.lines("killed/harvest.jsonl")), 120, "no row was harvested")
    for service in KILLED_IN_HARVEST:
        stack.kill(service)
        stack.wait_healthy(service)
        stack.wait_healthy("student")
        if loop.poll() is not None:  # what is done is not harvested again, so that the rest is killed in a run of their own
            assert loop.returncode in (0, 1)
            loop = stack.loop("harvest", "configs/cut.toml", "--id", f"killed-{service}" if loop.returncode == 0 else "killed")
    loop.wait(600)
    again = stack.askback("harvest", "configs/cut.toml", "--id", "killed")  # goes on where a service was away for longer than a run waits
    assert again.returncode == 0, again.stdout + again.stderr
    check_harvest(stack, "killed")


def check_harvest(stack: ComposeStack, run: str) -> None:
    """Every row has each of its steps once and without an error, and no question was paid for twice but those in flight at a kill."""
    records = stack.lines(f"{run}/harvest.jsonl")
    steps = Counter((record["sample_id"], record["stage"]) for record in records if not record.get("error"))
    assert len({row for row, _ in steps}) == ROWS
    assert {stage for _, stage in steps} >= {"draft", "teacher", "rewrite"}
    assert set(steps.values()) == {1}, steps
    assert not [record for record in records if record.get("error")]


def test_a_killed_run_goes_on_and_pays_nothing_twice(stack: ComposeStack) -> None:
    before = stack.paid()
    loop = stack.loop("harvest", "configs/cut.toml", "--id", "killed")
    assert loop.wait(300) == 0
    again = stack.askback("harvest", "configs/cut.toml", "--id", "second")
    assert again.returncode == 0, again.stdout + again.stderr
    check_harvest(stack, "second")
    more = {question: count - before.get(question, 0) for question, count in stack.paid().items()}
    # the second run's drafts are the first one's, so its requests are in the teacher's cache
    assert sum(more.values()) <= ROWS, more


@pytest.mark.parametrize("service", ["teacher", "student", "retriever", "trainer", "trainer-worker", "evaluator", "evaluator-worker"])
def test_one_service_is_swapped_and_the_others_stay(stack: ComposeStack, service: str) -> None:
    before = stack.ids()
    loop = stack.loop("harvest", "configs/cut.toml", "--id", f"swap-{service}")
    wait_until(lambda: bool(stack.read(f"swap-{service}/samples/train.jsonl")), 120, "the run did not start")
    other = {"TEACHER_CONFIG": "configs/teacher-b.toml"} if service == "teacher" else {"LOG_LEVEL": "DEBUG"}
    changed = ["-d", "--no-build", "--wait", service]
    # one variable for this service alone, so that its description is another one and no other's is
    override = stack.folder / "swap.yml"
    variables = json.dumps(other | ({} if service == "teacher" else {"ASKBACK_SWAP": service}))
    override.write_text(f"services:\n  {service}:\n    environment: {variables}\n")
    command = stack.command("up", *changed)
    at = command.index("--profile")
    done = subprocess.run([*command[:at], "-f", str(override), *command[at:]], env={**stack.environment, **other}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    after = stack.ids()
    assert {name for name in before if before[name] != after.get(name)} == {service}
    assert loop.wait(600) == 0
    check_harvest(stack, f"swap-{service}")
    stack.run("up", "-d", "--no-build", "--wait", service)


def test_the_whole_loop_ends_though_containers_are_killed_in_its_training(stack: ComposeStack) -> None:
    loop = stack.loop("run", "configs/cut.toml", "--id", "killed")
    for service in KILLED_IN_TRAINING:
        wait_until(lambda: training(stack) or loop.poll() is not None, 300, "no job runs")
        if loop.poll() is None:
            stack.kill(service)
            stack.wait_healthy(service)
    code = loop.wait(900)
    if code:
        again = stack.askback("run", "configs/cut.toml", "--id", "killed")
        assert again.returncode == 0, again.stdout + again.stderr
    scores = json.loads(stack.read("killed/scores.json"))
    assert scores and stack.read("killed/report.md") and stack.read("killed/adapters/direct/training.json")
    with stack.http("trainer") as trainer:
        jobs = trainer.get("/v1/jobs").json()
    assert [job["state"] for job in jobs] == ["done"]


def training(stack: ComposeStack) -> bool:
    with stack.http("trainer") as trainer:
        try:
            return any(job["state"] == "running" and job["progress"]["step"] > 0 for job in trainer.get("/v1/jobs").json())
        except httpx.HTTPError:
            return False


def test_a_full_disk_is_said_and_outlived(stack: ComposeStack) -> None:
    fill = "dd if=/dev/zero of=/runs/ballast bs=64k 2>/dev/null; sync; df /runs | tail -1"
    before = stack.read("killed/harvest.jsonl")
    stack.run("exec", "-T", "evaluator-worker", "sh", "-c", fill)
    try:
        full = stack.askback("harvest", "configs/cut.toml", "--id", "full")
        assert full.returncode in (1, 2)
        assert "No space left" in full.stderr + full.stdout or "full" in full.stderr + full.stdout
        assert "Traceback" not in full.stderr, full.stderr
        assert stack.read("killed/harvest.jsonl") == before
    finally:
        stack.run("exec", "-T", "evaluator-worker", "rm", "/runs/ballast")
    again = stack.askback("harvest", "configs/cut.toml", "--id", "full")
    assert again.returncode == 0, again.stdout + again.stderr
    check_harvest(stack, "full")


def test_every_container_starts_again_and_stops_in_time(stack: ComposeStack) -> None:
    for service in stack.ids():
        if service in ("paid", "student-engine"):
            continue
        began = time.monotonic()
        stack.run("stop", service)
        took = time.monotonic() - began
        assert took < 10, (service, took)
        assert stack.run("ps", "-a", "--format", "{{.ExitCode}}", service).split()[-1] in ("0", "143"), service
        stack.run("up", "-d", "--no-build", "--wait", service)


def test_nothing_is_left_behind(stack: ComposeStack) -> None:
    stack.save_logs()
    stack.down()
    label = f"label=com.docker.compose.project={PROJECT}"
    assert not docker("ps", "-aq", "--filter", label)
    assert not docker("volume", "ls", "-q", "--filter", label)
    assert not docker("network", "ls", "-q", "--filter", label)
