// The page's state in the address's hash, which is never sent to a server: the question and one or two setups.

import { MODES, RESOLVERS } from "./exchange.js";

const known = (value, table, otherwise) => Object.hasOwn(table, value) ? value : otherwise;

// {question, setups}; what the address lacks or misspells is left at its default. An empty adapter is the student's default one.
export function read(hash) {
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  const setup = (end, mode) => ({
    adapter: fields.get("adapter" + end) || "",
    mode: known(fields.get("mode" + end), MODES, mode),
    resolver: known(fields.get("resolver" + end), RESOLVERS, "teacher"),
  });
  return { question: fields.get("q") || "", setups: [setup("", "assisted"), ...(fields.has("mode2") ? [setup("2", "direct")] : [])] };
}

export function write({ question, setups }) {
  const fields = new URLSearchParams(question ? { q: question } : {});
  setups.forEach(({ adapter, mode, resolver }, index) => {
    const end = index ? "2" : "";
    if (adapter) fields.set("adapter" + end, adapter);
    fields.set("mode" + end, mode);
    if (mode === "assisted") fields.set("resolver" + end, resolver);
  });
  return "#" + fields;
}
