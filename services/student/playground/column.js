// One setup beside its steps: what is chosen, what came back, what went wrong.

import { key } from "./api.js";
import { el } from "./dom.js";
import { MODES, RESOLVERS, exchange } from "./exchange.js";
import { asCurl, asPython } from "./snippets.js";
import { card, sum } from "./steps.js";
import { refusal } from "./refusal.js";

const UNANSWERED = "I do not know.";
let columns = 0;

export class Column {
  // `changed()` is told of every choice, `again()` of the wish to ask this column once more, `refused(error)` of what went wrong.
  constructor(setup, listing, { changed, again, refused }) {
    const id = `column${columns++}`, choice = (name, label, options) => {
      const select = el("select", { id: `${id}-${name}`, "data-choice": name, change: () => this.choose(name, select.value, changed) }, ...options);
      return [select, el("div", {}, el("label", { for: select.id }, label), select)];
    };
    const options = (table) => Object.entries(table).map(([value, text]) => el("option", { value }, text));
    let adapter, mode, resolver;
    [this.adapter, adapter] = choice("adapter", "Adapter", []);
    [this.mode, mode] = choice("mode", "Mode", options(MODES));
    [this.resolver, this.answering] = choice("resolver", "Answered by", options(RESOLVERS));
    this.setup = { ...setup };
    this.told = { again, refused };
    this.steps = el("ol", { class: "steps", "aria-live": "polite", "aria-relevant": "additions" });
    this.end = el("div", { class: "end" });
    this.node = el("section", { class: "column", "aria-label": "Setup" }, el("div", { class: "choices" }, adapter, mode, this.answering), this.steps, this.end);
    this.offer(listing);
    this.mode.value = this.setup.mode;
    this.resolver.value = this.setup.resolver;
    this.answering.hidden = this.setup.mode !== "assisted";
  }

  choose(name, value, changed) {
    this.setup[name] = value;
    this.answering.hidden = this.setup.mode !== "assisted";
    changed();
  }

  // The adapters that can be chosen. One that the address names and nobody serves stays, so that the service says so.
  offer(listing) {
    const served = listing ? ["base", ...listing.adapters.map((one) => one.name)] : [];
    const named = this.setup.adapter && !served.includes(this.setup.adapter) ? [el("option", { value: this.setup.adapter }, this.setup.adapter + " (not loaded)")] : [];
    const standard = el("option", { value: "" }, listing ? `${listing.default} (default)` : "default");
    const others = served.filter((name) => name !== listing.default || name === this.setup.adapter).map((name) => el("option", { value: name }, name));
    this.adapter.replaceChildren(standard, ...others, ...named);
    this.adapter.value = this.setup.adapter;
  }

  get busy() { return Boolean(this.controller); }

  stop() { this.controller?.abort(); }

  // Asks and shows each step as it comes; asking anew ends what is still under way.
  async ask(question) {
    this.stop();
    const mine = this.controller = new AbortController(), { signal } = mine, calls = [], steps = [];
    this.steps.replaceChildren();
    this.end.replaceChildren(el("p", { class: "soft waiting" }, "…"));
    try {
      const answered = (questions) => this.answers(questions, signal);
      for await (const step of exchange(question, { ...this.setup }, { calls, answered, signal })) {
        steps.push(step);
        this.steps.append(card(step, steps[0].data.draft));
      }
      this.end.replaceChildren(sum(steps), ...copies(calls));
    } catch (error) {
      if (this.controller !== mine) return;
      if (error.name === "AbortError") this.end.replaceChildren(el("p", { class: "soft" }, "Stopped."));
      else {
        this.end.replaceChildren(refusal(error, this.told.again), ...copies(calls));
        this.told.refused(error);
      }
    } finally {
      if (this.controller === mine) this.controller = null;
    }
  }

  // A form with one input for each question; what is left empty is not known.
  answers(questions, signal) {
    return new Promise((resolve, reject) => {
      const inputs = questions.map(() => el("input", { type: "text", autocomplete: "off", placeholder: UNANSWERED, maxlength: 4000 }));
      const labelled = questions.map((question, index) => el("label", {}, question, inputs[index]));
      const send = (event) => {
        event.preventDefault();
        this.end.replaceChildren(el("p", { class: "soft waiting" }, "…"));
        resolve(inputs.map((one) => one.value.trim() || UNANSWERED));
      };
      this.end.replaceChildren(el("form", { class: "mine", submit: send }, ...labelled, el("button", { type: "submit" }, "Answer")));
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      if (document.querySelector(".mine input") === inputs[0]) inputs[0].focus();
    });
  }
}

function copies(calls) {
  if (!calls.length) return [];
  const said = el("span", { role: "status", class: "soft" }), shown = el("pre", { tabindex: 0, hidden: true });
  const copy = (name, text) => async () => {
    shown.textContent = text;
    try {
      await navigator.clipboard.writeText(text);
      said.textContent = `Copied as ${name}`;
    } catch {  // no clipboard over plain HTTP: the text is shown and selected
      shown.hidden = false;
      getSelection().selectAllChildren(shown);
      said.textContent = "Press Ctrl+C to copy";
    }
  };
  const guarded = Boolean(key.get()), make = { curl: asCurl, Python: asPython };
  const buttons = Object.entries(make).map(([name, written]) =>
    el("button", { type: "button", class: "quiet", "data-copy": name, click: copy(name, written(calls, location.origin, guarded)) }, `Copy as ${name}`));
  return [el("div", { class: "copies" }, ...buttons, said), shown];
}
