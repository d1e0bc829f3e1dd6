"""A client as a process of its own, to be killed: asks NUMBER questions by 32 threads and prints a line for each answer.

    python asking_client.py TEACHER_URL NUMBER

Needs no package, so that it is at work a few hundredths of a second after its start.
"""

import json
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from threading import Lock, Thread
from urllib.parse import urlsplit

CALLERS = 32


def ask(address: str, numbers: Iterator[int], printing: Lock) -> None:
    """Ask the questions that `numbers` yields, and print number, status, cache outcome and text of each answer."""
    connection = HTTPConnection(address)
    for number in numbers:
        body = {"model": "teacher", "messages": [{"role": "user", "content": f"question {number}"}]}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())
        text = answer["choices"][0]["message"]["content"] if response.status == 200 else answer["error"]["message"]
        with printing:
            print(number, response.status, response.headers["x-cache"], text, sep="\t", flush=True)


if __name__ == "__main__":
    url, count = sys.argv[1:]
    shared, lock = iter(range(int(count))), Lock()
    threads = [Thread(target=ask, args=[urlsplit(url).netloc, shared, lock]) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
