"""An OpenAI-compatible upstream that takes its time, answers from the sample's facts, and counts what it was paid for."""

import json
import re
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from askback.tasks import task_named
from askback.tasks.datafile import load_local

SAMPLE = Path(__file__).parents[2] / "data" / "sample" / "strategyqa"
DELAY_S = 0.4


class CountingTeacher:
    """Context manager; `paid` counts answers by question."""

    def __init__(self) -> None:
        task = task_named("strategyqa")
        samples = [sample for split in ("train", "dev") for sample in load_local(task, SAMPLE, split)]
        self._answers = {sample.question: task.render_gold(sample) for sample in samples}
        self.paid: Counter[str] = Counter()
        self._lock = threading.Lock()

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        prompt = body["messages"][-1]["content"]
        match = re.search(r"^Q: (.*)$", prompt, re.MULTILINE)
        assert match, prompt
        with self._lock:
            self.paid[prompt] += 1
        time.sleep(DELAY_S)
        message = {"role": "assistant", "content": self._answers[match[1]]}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
        return {"id": "c", "object": "chat.completion", "created": 0, "model": "big", "choices": [choice], "usage": usage}

    def __enter__(self) -> "CountingTeacher":
        teacher = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                content = json.dumps(teacher.answer(body)).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
