"""Prompt files, one per task and role, as `string.Template` texts."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from string import Template


@cache
def template(task: str, role: str) -> str:
    """Text of the prompt file of `role`, without its last line break."""
    return (files(__package__) / task / f"{role}.txt").read_text(encoding="utf-8").rstrip("\n")


def roles(task: str) -> list[str]:
    """The roles that `task` has a prompt file for, by name."""
    return sorted(file.name.removesuffix(".txt") for file in (files(__package__) / task).iterdir() if file.name.endswith(".txt"))


def render(task: str, role: str, fields: Mapping[str, str]) -> str:
    """The prompt with its fields filled in; an empty leading field leaves no blank line."""
    return Template(template(task, role)).substitute(fields).lstrip("\n")
