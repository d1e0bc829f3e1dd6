"""A headless Chromium driven over the WebDriver protocol, which is plain HTTP: no driver library is needed."""

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1500,900",
)
KEYS = {"ArrowDown": "\ue015", "ArrowUp": "\ue013", "End": "\ue010", "Home": "\ue011"}
_STARTED = re.compile(r"started successfully on port (\d+)")


def missing() -> str:
    """Why no browser can be started; empty when one can."""
    wanted = [name for name, program in (("chromium", chromium()), ("chromedriver", shutil.which("chromedriver"))) if not program]
    return f"{' and '.join(wanted)} not found; `apt-get install chromium chromium-driver`" if wanted else ""


def chromium() -> str | None:
    return next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)


class Browser:
    """One window."""

    def __init__(self, client: httpx.Client, session: str) -> None:
        self._client, self._session = client, session

    def call(self, command: str, **body: Any) -> Any:
        """One WebDriver command; raises AssertionError with the driver's message."""
        answer = self._client.post(f"/session/{self._session}/{command}", json=body).json()["value"]
        assert not (isinstance(answer, dict) and "error" in answer), answer
        return answer

    def open(self, url: str) -> None:
        self.call("url", url=url)

    def run(self, script: str) -> Any:
        """The value of a function's body run in the page."""
        return self.call("execute/sync", script=script, args=[])

    def press(self, key: str) -> None:
        """A key, as a person's keyboard sends it."""
        value = KEYS.get(key, key)
        self.call("actions", actions=[{"type": "key", "id": "keys", "actions": [{"type": kind, "value": value} for kind in ("keyDown", "keyUp")]}])

    def text(self, selector: str) -> str:
        return str(self.run(f"return document.querySelector({selector!r})?.textContent ?? ''"))

    def texts(self, selector: str) -> list[str]:
        return [str(text) for text in self.run(f"return [...document.querySelectorAll({selector!r})].map((node) => node.textContent)")]

    def click(self, selector: str) -> None:
        self.run(f"document.querySelector({selector!r}).click()")

    def until(self, holds: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
        """Wait until `holds()`; raises AssertionError saying `what` did not come true."""
        end = time.monotonic() + timeout_s
        while not holds():
            assert time.monotonic() < end, f"not within {timeout_s} s: {what}"
            time.sleep(0.02)


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser with the fresh profile `profile`, closed at the end."""
    driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert driver.stdout is not None
        port = next(match[1] for line in driver.stdout if (match := _STARTED.search(line)))
        options = {"binary": chromium(), "args": [*FLAGS, f"--user-data-dir={profile}"]}
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
            session = client.post("/session", json=wanted).json()["value"]
            assert "sessionId" in session, session
            try:
                yield Browser(client, session["sessionId"])
            finally:
                client.delete(f"/session/{session['sessionId']}")
    finally:
        driver.terminate()
        driver.wait(10)
