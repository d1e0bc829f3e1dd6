"""The benchmark tasks. `task_named("strategyqa")` is the way in."""

from askback.contracts.errors import InvalidInput
from askback.tasks.hotpotqa import HotpotQA
from askback.tasks.strategyqa import StrategyQA
from askback.tasks.task import Task

TASKS: dict[str, Task] = {task.name: task for task in (StrategyQA(), HotpotQA())}


def task_named(name: str) -> Task:
    """The task called `name`; raises InvalidInput listing the known ones."""
    if name not in TASKS:
        raise InvalidInput(f"unknown task {name!r}; known tasks: {', '.join(TASKS)}")
    return TASKS[name]


__all__ = ["TASKS", "Task", "task_named"]
