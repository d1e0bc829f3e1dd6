// How a step looks, and what it cost.

import { el } from "./dom.js";

const TITLES = { draft: "Draft", answers: "Answers", final: "Answer" };
const NAMES = { me: "you", none: "nobody" };

const money = (usd) => "$" + (usd === 0 ? "0" : usd < 0.01 ? usd.toPrecision(2) : usd.toFixed(2));
const time = (ms) => ms < 9950 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
const number = (count) => count.toLocaleString("en");

function cost(usage, ms) {
  const tokens = usage.prompt_tokens + usage.completion_tokens;
  return el("p", { class: "cost", title: `${number(usage.prompt_tokens)} tokens read, ${number(usage.completion_tokens)} written` },
    `${number(tokens)} tokens · ${time(ms)} · ${money(usage.cost_usd)}`);
}

// P(yes) as a bar; `before` leaves a mark where it was.
function bar(p, before) {
  const fill = el("span", { class: "fill" }), parts = [fill];
  fill.style.width = p * 100 + "%";
  if (before !== null && before !== undefined) {
    const mark = el("span", { class: "was" });
    mark.style.left = before * 100 + "%";
    parts.push(mark);
  }
  return el("div", { class: "bar", "aria-hidden": "true" }, ...parts);
}

function probability(p, before) {
  if (p === null || p === undefined) return [];
  const moved = before === null || before === undefined ? "" : ` (was ${before.toFixed(2)}, ${p >= before ? "+" : "−"}${Math.abs(p - before).toFixed(2)})`;
  return [bar(p, before), el("p", { class: "p" }, `P(yes) ${p.toFixed(2)}${moved}`)];
}

const answer = (text) => el("p", { class: "said" }, text === null ? "no answer that could be read" : text);

function draft({ draft: one }) {
  return [answer(one.answer), ...probability(one.p_yes), el("p", { class: "soft" }, one.questions.length > 1 ? "It asks back:" : "It asks:"),
    el("ol", { class: "questions" }, ...one.questions.map((text) => el("li", {}, text)))];
}

function answers({ exchanges, answered_by: by }) {
  const said = exchanges.flatMap((one) => [el("dt", {}, one.question), el("dd", {}, one.answer)]);
  return [el("p", { class: "soft" }, `Answered by ${NAMES[by] || by.replace("+", " and ")}`), said.length ? el("dl", {}, ...said) : el("p", {}, "Nothing was said.")];
}

function final(one, before) {
  const reasons = one.text.trim() && one.text.trim() !== one.answer ? [el("p", { class: "text" }, one.text)] : [];
  const changed = before && before.answer !== one.answer ? [el("p", { class: "soft" }, `The draft said ${before.answer}.`)] : [];
  return [answer(one.answer), ...changed, ...probability(one.p_yes, before?.p_yes), ...reasons, el("p", { class: "soft" }, `Adapter ${one.model}`)];
}

const BODIES = { draft, answers, final };

// One step as an item of the list; `before` is the draft, where there was one.
export function card({ name, data, ms }, before) {
  const head = el("div", { class: "head" }, el("h3", {}, TITLES[name]), cost(data.usage, ms));
  return el("li", { class: "step", "data-step": name }, head, ...BODIES[name](data, before));
}

// What all steps took together.
export function sum(steps) {
  const usage = { prompt_tokens: 0, completion_tokens: 0, cost_usd: 0 };
  for (const step of steps) for (const field of Object.keys(usage)) usage[field] += step.data.usage[field];
  const line = cost(usage, steps.reduce((all, step) => all + step.ms, 0));
  line.className = "sum";
  line.prepend("In all ");
  return line;
}
