// One question through one setup {adapter, mode, resolver}: the calls that are made, and the steps that come back.

import { Refused, call, events } from "./api.js";

export const MODES = { assisted: "assisted: asks first", direct: "direct: answers at once", cot: "cot: reasons first" };
export const RESOLVERS = { teacher: "Teacher", retriever: "Retriever", "teacher-nearest": "Teacher, nearest answers", both: "Teacher and retriever", none: "Nobody", me: "Me" };
const FREE = { prompt_tokens: 0, completion_tokens: 0, cost_usd: 0 };

// Yields {name, data, ms} for `draft`, `answers` and `final`, with the milliseconds waited for each, a person's own time left out.
// `calls` gets each {path, body} as it is sent; `answered(questions)` promises a person's answers. Throws as `call` does.
export async function* exchange(question, setup, { calls, answered, signal }) {
  const common = { question, adapter: setup.adapter };
  const timed = stopwatch();
  const asked = (path, body) => { calls.push({ path, body }); return call(path, body, signal); };
  if (setup.mode !== "assisted") {
    yield timed("final", await asked("/v1/answer", { ...common, mode: setup.mode }));
  } else if (setup.resolver === "me") {
    const draft = await asked("/v1/clarify", common);
    yield timed("draft", draft);
    const answers = await answered(draft.draft.questions);
    const exchanges = draft.draft.questions.map((one, index) => ({ question: one, answer: answers[index] }));
    timed.again();
    yield timed("answers", { exchanges, answered_by: "me", usage: FREE });
    yield timed("final", await asked("/v1/answer", { ...common, mode: "rewrite", exchanges }));
  } else {
    const body = { ...common, resolver: setup.resolver, stream: true };
    calls.push({ path: "/v1/ask", body });
    let whole = false;
    for await (const [name, data] of events("/v1/ask", body, signal)) {
      if (name === "done") whole = true;
      else yield timed(name, data);
    }
    if (!whole) throw new Refused("Unreachable", "The connection broke off before the last step.");
  }
}

function stopwatch() {
  let from = performance.now();
  const timed = (name, data) => {
    const now = performance.now(), ms = now - from;
    from = now;
    return { name, data, ms };
  };
  timed.again = () => { from = performance.now(); };
  return timed;
}
