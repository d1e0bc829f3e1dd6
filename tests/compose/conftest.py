"""The stack in containers, once for all tests of this folder. They need Docker and are run by `make test-compose` alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from compose_stack import ComposeStack, docker_missing


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "compose: builds and runs the stack in containers; many minutes, only with `-m compose`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = "compose" in str(config.option.markexpr)
    reason = docker_missing() if chosen else "`make test-compose` runs it"
    for item in items:
        if item.get_closest_marker("compose") and reason:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    stack = ComposeStack(Path(tmp_path_factory.mktemp("compose")))
    stack.down()
    try:
        stack.build()
        stack.up()
        yield stack
    finally:
        stack.save_logs()
        stack.down()
