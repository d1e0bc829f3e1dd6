// One row in full, and the pieces that the list shares with it. All that models wrote goes into text nodes, never into markup.

export function el(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== "") node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const words = () => [...(new URLSearchParams(location.search).get("q") || "")
  .matchAll(/"([^"]+)"|(\S+)/g)].map((match) => (match[1] || match[2]).toLowerCase());

// The text with the searched words marked.
export function marked(text) {
  const fragment = document.createDocumentFragment(), whole = String(text ?? ""), lower = whole.toLowerCase(), sought = words();
  let at = 0;
  while (sought.length && lower.length === whole.length) {
    let next = -1, length = 0;
    for (const word of sought) {
      const found = lower.indexOf(word, at);
      if (found >= 0 && (next < 0 || found < next)) { next = found; length = word.length; }
    }
    if (next < 0) break;
    fragment.append(whole.slice(at, next), el("mark", {}, whole.slice(next, next + length)));
    at = next + length;
  }
  fragment.append(whole.slice(at));
  return fragment;
}

export const money = (usd) => usd ? "$" + (usd < 0.01 ? usd.toPrecision(2) : usd.toFixed(2)) : "–";
export const count = (number) => number.toLocaleString("en");
const verdict = (right) => right === null ? "soft" : right ? "right" : "wrong";
export const judged = (output) => el("span", { class: verdict(output.right) }, marked(output.answer ?? "–"));

const heading = (text) => el("h3", {}, text);
const paragraph = (text, kind) => el("p", { class: kind }, marked(text));
const listed = (texts) => el("ol", {}, ...texts.map((text) => el("li", {}, marked(text))));
const folded = (title, ...children) => el("details", {}, el("summary", {}, title), ...children);

export function detail(row) {
  return [
    el("a", { class: "id", href: "#" + encodeURIComponent(row.id), title: "Link to this row" }, "#" + row.id),
    el("span", { class: "tag " + row.status }, row.status),
    el("h2", {}, marked(row.question)),
    paragraph(row.why, row.status === "failed" ? "error" : "why"),
    el("dl", {}, el("dt", {}, "Gold"), el("dd", {}, marked(row.gold)), ...(row.kind ? [el("dt", {}, "Type"), el("dd", {}, row.kind)] : [])),
    ...draftPart(row), ...teacherPart(row), ...rewritePart(row), ...annotations(row),
    ...(row.stages.length ? [heading("Cost and time"), stages(row.stages)] : []),
    ...(row.earlier.length ? [folded(`Earlier tries (${row.earlier.length})`, stages(row.earlier),
      ...row.earlier.filter((one) => one.error).map((one) => paragraph(`${one.stage}: ${one.error}`, "error")))] : []),
  ];
}

function draftPart(row) {
  if (row.draft.answer === null) return [];
  const sure = row.p_yes === null ? null : el("span", { class: "soft" }, `  P(yes) = ${row.p_yes.toFixed(3)}`);
  return [heading("Student's draft"), el("p", {}, judged(row.draft), sure),
    ...(row.questions.length ? [listed(row.questions)] : [paragraph("No clarifying question.", "soft")])];
}

const HINTS = {
  used: "The second try, with the gold answer as a hint, in place of the first reply.",
  "not used": "A second try with the gold answer as a hint did not come to it; this is the first reply.",
};

function teacherPart(row) {
  if (row.teacher.answer === null) return [];
  const exchanges = row.exchanges.map((one) => el("li", {}, el("span", { class: "asked" }, marked(one.question)), el("br"), marked(one.answer)));
  const other = row.hint === "used" ? "First reply, without the hint" : "Second reply, with the hint";
  return [heading("Teacher" + (row.backend ? ` (${row.backend})` : "")), ...(row.hint ? [paragraph(HINTS[row.hint], "soft")] : []),
    ...(row.hint_error ? [paragraph("hint: " + row.hint_error, "error")] : []),
    ...(exchanges.length ? [el("ol", {}, ...exchanges)] : []),
    el("dl", {}, el("dt", {}, "Thought"), el("dd", {}, marked(row.thought)), el("dt", {}, "Verdict"), el("dd", {}, judged(row.teacher))),
    folded("Reply as it came", paragraph(row.reply)), ...(row.other_reply ? [folded(other, paragraph(row.other_reply))] : [])];
}

function rewritePart(row) {
  if (row.rewrite.answer === null) return [];
  const names = { same: "span", gone: "del", new: "ins" };
  const parts = row.diff.map(([kind, text]) => el(names[kind], {}, marked(text)));
  const changed = row.diff.some(([kind]) => kind !== "same");
  return [heading("Student's rewrite"), el("p", {}, judged(row.rewrite)),
    el("p", { class: "soft" }, changed ? "Draft → rewrite" : "Draft → rewrite: unchanged"), el("p", { class: "diff" }, ...parts)];
}

function annotations(row) {
  const passages = row.passages.map((one) => el("li", {}, el("span", { class: "asked" }, marked(one.title)), el("br"), marked(one.text)));
  const parts = [];
  if (row.decomposition.length) parts.push(folded("Gold sub-questions", listed(row.decomposition)));
  if (row.facts.length) parts.push(folded("Gold facts", listed(row.facts)));
  if (passages.length) parts.push(folded(`Passages (${passages.length})`, el("ol", {}, ...passages)));
  return parts.length ? [heading("From the dataset"), ...parts] : [];
}

function stages(rows) {
  const heads = ["Stage", "Backend", "Model", "Cache", "Tokens in", "Out", "Cost", "Seconds", "Prompt"];
  const numbers = new Set(["Tokens in", "Out", "Cost", "Seconds"]), kind = (index) => ({ class: numbers.has(heads[index]) ? "number" : null });
  const body = rows.map((one) => el("tr", { title: one.request_hash && "Request " + one.request_hash },
    ...[one.stage, one.backend || "–", one.model || "–", one.cache || "–", count(one.prompt_tokens), count(one.completion_tokens),
      money(one.cost_usd), one.latency_s.toFixed(2), one.prompt_version || "–"].map((text, index) => el("td", kind(index), text))));
  return el("div", { class: "scroll", tabindex: 0 }, el("table", {},
    el("thead", {}, el("tr", {}, ...heads.map((text, index) => el("th", kind(index), text)))), el("tbody", {}, ...body)));
}
