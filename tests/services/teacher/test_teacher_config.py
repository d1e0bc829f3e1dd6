"""The backends file, and the start with its exit code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from askback.contracts.errors import InvalidInput
from services.teacher.__main__ import compose
from services.teacher.config import OpenAISpec, load_config

ROOT = Path(__file__).parents[3]
GOLD = 'active = "g"\n[[backends]]\nname = "g"\nkind = "gold"\n'
PAID = GOLD + '[[backends]]\nname = "p"\nkind = "openai"\nmodel = "m"\n'


def test_the_shipped_file_loads() -> None:
    config = load_config(ROOT / "configs" / "teacher.toml")
    specs = config.by_name()
    assert config.active == "replay"
    assert specs["replay"].fallback == ["gold"]
    assert specs["openai"].fallback == []
    assert isinstance(specs["openai"], OpenAISpec) and specs["openai"].api_key_env == "OPENAI_API_KEY"


BAD = [
    ("active = ", "cannot be read as TOML: Invalid value"),
    ("", "active: is missing"),
    ('active = "g"', "backends: is missing"),
    ('active = "g"\nbackends = []', "backends: .*at least 1"),
    ('active = "g"\nbackends = ["x"]', r"\[\[backends\]\] number 1: "),
    (GOLD + 'colour = "red"', "backend 'g': colour: is not a field here"),
    ("budget = 3\n" + GOLD, "budget: .*dictionary"),
    (GOLD + "[budget]\ntotal_usd = -1", r"budget\.total_usd: "),
    (GOLD + "[budget]\ntotal = 1", r"budget\.total: is not a field here"),
    (PAID + "requests_per_minute = 0", "backend 'p': requests_per_minute: "),
    (PAID + "price_per_million_prompt_usd = 1", "backend 'p': .*set both or neither"),
    (PAID + 'token_limit_field = "limit"', "backend 'p': token_limit_field: "),
    (GOLD.replace('"gold"', '"silver"'), "backend 'g': kind: must be openai, replay or gold"),
    (GOLD.replace('kind = "gold"', ""), "backend 'g': kind: is missing"),
    (GOLD.replace('name = "g"', ""), r"\[\[backends\]\] number 1: name: is missing"),
    (GOLD.replace('name = "g"', "name = 3"), r"\[\[backends\]\] number 1: name: .*string"),
    (GOLD.replace('"g"', '"G 1"'), "backend 'G 1': name: .*pattern"),
    (GOLD.replace('"g"', '"teacher"'), "backend 'teacher': name: is reserved"),
    (GOLD + GOLD.split("\n", 1)[1], "backend 'g': name: stands twice"),
    (GOLD.replace('active = "g"', 'active = "x"'), "active: 'x' is not a backend; known: g"),
    (GOLD.replace('active = "g"', "active = 1"), "active: .*string"),
    (GOLD + 'fallback = "g"', "backend 'g': fallback: .*list"),
    (GOLD + 'fallback = ["x"]', "backend 'g': fallback: 'x' is not a backend"),
    (GOLD + 'fallback = ["g"]', "backend 'g': fallback: 'g' would be asked twice"),
    (GOLD + 'path = "x"', "backend 'g': path: is not a field here"),
    (PAID.replace('model = "m"', ""), "backend 'p': model: is missing"),
    (PAID.replace('"m"', '""'), "backend 'p': model: .*at least 1"),
    (PAID + "timeout_s = 0", "backend 'p': timeout_s: .*greater than 0"),
    (PAID + "timeout_s = true", "backend 'p': timeout_s: .*number"),
    (PAID + 'timeout_s = "60"', "backend 'p': timeout_s: .*number"),
    (PAID + "timeout_s = inf", "backend 'p': timeout_s: "),
    (PAID + "timeout_s = nan", "backend 'p': timeout_s: "),
    (PAID + "price_per_million_prompt_usd = -1", "backend 'p': price_per_million_prompt_usd: "),
    (PAID + "price_per_million_completion_usd = nan", "backend 'p': price_per_million_completion_usd: .*finite"),
    (PAID + 'base_url = "127.0.0.1:8000"', "backend 'p': base_url: must be an address"),
    (PAID + 'base_url = "http://["', "backend 'p': base_url: "),
    (PAID + 'base_url = "http://u:secret@h/v1"', "backend 'p': base_url: must not hold a password"),
    (PAID + 'api_key_env = "sk-secret"', "backend 'p': api_key_env: .*pattern"),
    (PAID + 'api_key = "sk-secret"', "backend 'p': api_key: is not a field here"),
]


@pytest.mark.parametrize(("text", "complaint"), BAD)
def test_a_bad_field_is_one_line_that_names_it(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "t.toml"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=rf"t\.toml: {complaint}") as caught:
        load_config(path)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"absent\.toml: cannot be read"):
        load_config(tmp_path / "absent.toml")
    (tmp_path / "t.toml").write_bytes(b"\xff")
    with pytest.raises(InvalidInput, match=r"t\.toml: cannot be read"):
        load_config(tmp_path / "t.toml")


def test_a_bad_file_ends_the_start_with_code_2_and_one_line(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(GOLD + "colour = 1")
    environment = os.environ | {"TEACHER_CONFIG": str(tmp_path / "t.toml"), "ASKBACK_HOME": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-m", "services.teacher"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("teacher: ") and ended.stderr.count("\n") == 1 and "colour" in ended.stderr


def test_compose_reads_recordings_beside_the_backends_file(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text('active = "r"\n[[backends]]\nname = "r"\nkind = "replay"\npath = "rows.jsonl"\n')
    environment = {"TEACHER_CONFIG": str(tmp_path / "t.toml"), "ASKBACK_HOME": str(tmp_path / "home")}
    with pytest.raises(InvalidInput, match=r"rows\.jsonl: no recordings here"):
        compose(environment)
    (tmp_path / "rows.jsonl").write_text('{"qid": "q", "question": "Q?", "completion": "C"}\n')
    assert compose(environment).backends.models() == ["teacher", "r"]
    assert (tmp_path / "home" / "teacher.sqlite").is_file()
