// The student's HTTP face: one answer, or the events of a stream. The key is kept for as long as the tab, and goes nowhere else.

const KEY = "askback-key";

export const key = {
  get: () => sessionStorage.getItem(KEY) || "",
  set: (text) => text ? sessionStorage.setItem(KEY, text) : sessionStorage.removeItem(KEY),
};

// What the service said instead of an answer. `retryAfter` is in seconds, or null.
export class Refused extends Error {
  constructor(kind, detail, status = 0, retryAfter = null) {
    super(detail);
    Object.assign(this, { kind, status, retryAfter });
  }
}

async function sent(path, body, signal) {
  const headers = key.get() ? { authorization: "Bearer " + key.get() } : {};
  const options = body === undefined ? { headers, signal } :
    { method: "POST", headers: { ...headers, "content-type": "application/json" }, body: JSON.stringify(body), signal };
  const response = await fetch(path, options).catch((error) => {
    throw error.name === "AbortError" ? error : new Refused("Unreachable", "The student service does not answer; is it still running?");
  });
  if (!response.ok) {
    const said = await response.json().catch(() => ({}));
    const wait = Number.parseInt(response.headers.get("retry-after"), 10);
    throw new Refused(said.error || "HTTP", said.detail || said.status || response.statusText, response.status, Number.isNaN(wait) ? null : wait);
  }
  return response;
}

// The answer to a GET, or to a POST where there is a `body`. Throws Refused, or AbortError after `signal`.
export async function call(path, body, signal) {
  return (await sent(path, body, signal)).json();
}

// Yields [name, data] of each event as it arrives. Throws as `call` does, also for an event `error` and for a stream that breaks off.
export async function* events(path, body, signal) {
  const reader = (await sent(path, body, signal)).body.pipeThrough(new TextDecoderStream()).getReader();
  let kept = "";
  for (;;) {
    const { value, done } = await reader.read().catch((error) => {
      throw error.name === "AbortError" ? error : new Refused("Unreachable", "The connection broke off before the last step.");
    });
    if (done) return;
    const blocks = (kept + value).split("\n\n");
    kept = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
      if (!fields.event) continue;
      const data = JSON.parse(fields.data);
      if (fields.event === "error") throw new Refused(data.error, data.detail);
      yield [fields.event, data];
    }
  }
}
