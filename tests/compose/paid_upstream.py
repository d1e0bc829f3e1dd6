"""In a container of its own, with the standard library alone: an OpenAI-compatible teacher that takes a second and counts its answers."""

import json
import re
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

DELAY_S = 1.0
SAMPLE = Path("/data/sample/strategyqa")
UNKNOWN = "Q1. Is anything recorded?\nNothing is recorded.\nFinal answer: Unknown.\nThe answer is no."
paid: Counter[str] = Counter()
lock = threading.Lock()


def recorded() -> dict[str, str]:
    lines = (SAMPLE / "teacher.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["question"]: row["completion"] for row in map(json.loads, lines)}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answers = recorded()

    def do_GET(self) -> None:
        self._send(dict(paid))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        question = re.findall(r"^Q: (.*)$", body["messages"][-1]["content"], re.MULTILINE)[0]
        with lock:
            paid[question] += 1
        time.sleep(DELAY_S)
        message = {"role": "assistant", "content": self.answers.get(question, UNKNOWN)}
        usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self._send({"id": "c", "object": "chat.completion", "created": 0, "model": "big", "choices": [choice], "usage": usage})

    def _send(self, answer: object) -> None:
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Counts are enough."""


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", 9000), Handler).serve_forever()
