// The list: a window over rows that the server filters, sorts and counts. The URL holds the state: filters in its query, the row in its hash.
import { count, detail, el, judged, marked, money } from "/row.js";

const BLOCK = 100, HEIGHT = 34, AHEAD = 12, LOOK_AGAIN_MS = 4000;
const FILTERS = { status: "Status", teacher: "Teacher", draft: "Draft", rewrite: "Rewrite", hint: "Hinted second try", backend: "Backend", gold: "Gold answer" };
const ORDER = ["kept", "dropped", "failed", "pending", "right", "wrong"];
const COLUMNS = [["index", "#"], ["question", "Question"], ["gold", "Gold"], ["draft", "Draft"], ["p_yes", "P(yes)"], ["teacher", "Teacher"],
  ["rewrite", "Rewrite"], ["status", "Status"], ["cost", "Cost"], ["latency", "Seconds"]];
const NUMBERS = new Set(["p_yes", "cost", "latency"]);

const $ = (id) => document.getElementById(id);
const fields = new URLSearchParams(location.search);
let page = { total: 0, filters: {}, version: "" }, blocks = new Map(), asked = 0, place = 0, chosen = "";

async function fetched(path) {
  const response = await fetch(path), body = await response.json();
  if (!response.ok) throw new Error(body.detail);
  return body;
}

// What is wrong with the list or the row, until the same one comes through.
const troubles = { list: "", row: "" };
function trouble(where, error) {
  troubles[where] = !error ? "" : error instanceof TypeError ? "The server does not answer; start `askback view` again." : error.message;
  $("trouble").textContent = troubles.list || troubles.row;
  $("trouble").hidden = !$("trouble").textContent;
}

// ---- the list

async function load(offset, at) {
  const turn = asked, query = new URLSearchParams(fields);
  query.set("offset", offset);
  query.set("limit", BLOCK);
  if (at) query.set("at", at);
  try {
    const got = await fetched("/api/rows?" + query);
    if (turn !== asked) return null;
    trouble("list");
    if (page.version && got.version !== page.version && offset) return reload();
    page = got;
    blocks.set(offset / BLOCK, got.rows);
    return got;
  } catch (error) {
    if (turn === asked) { blocks.delete(offset / BLOCK); trouble("list", error); }
    return null;
  }
}

// Everything anew: after a change of the filters, or of the run. `top` scrolls to the first row.
async function reload(top) {
  asked++;
  const kept = page.version;
  page.version = "";
  blocks = new Map([[0, null]]);
  const got = await load(0, chosen);
  if (!got) { page.version = kept; return; }
  if (top) $("list").scrollTop = 0;
  if (got.place !== null) place = got.place;
  drawHead();
  drawFilters();
  drawRows();
}

function rowAt(index) {
  const block = Math.floor(index / BLOCK);
  if (!blocks.has(block)) {
    blocks.set(block, null);
    load(block * BLOCK).then((got) => got && drawRows());
  }
  return (blocks.get(block) || [])[index % BLOCK];
}

function drawRows() {
  const list = $("list"), first = Math.max(0, Math.floor(list.scrollTop / HEIGHT) - AHEAD);
  const last = Math.min(page.total, Math.ceil((list.scrollTop + list.clientHeight) / HEIGHT) + AHEAD);
  $("above").firstElementChild.style.height = first * HEIGHT + "px";
  $("below").firstElementChild.style.height = Math.max(0, page.total - last) * HEIGHT + "px";
  $("above").hidden = !first;
  $("below").hidden = last >= page.total;
  const lines = [];
  for (let index = first; index < last; index++) lines.push(line(rowAt(index), index));
  $("rows").replaceChildren(...lines);
  $("none").hidden = page.total > 0;
}

function line(row, index) {
  if (!row) return el("tr", { "aria-rowindex": index + 1 }, el("td", { colspan: COLUMNS.length, class: "soft" }, "…"));
  return el("tr", { "aria-rowindex": index + 1, "aria-selected": row.id === chosen, onclick: () => choose(index) },
    el("td", { class: "index" }, String(row.index + 1)),
    el("td", { title: row.question }, el("a", { href: "#" + encodeURIComponent(row.id), tabindex: -1 }, marked(row.question))),
    el("td", { title: row.gold }, marked(row.gold)),
    el("td", { title: row.draft.answer }, judged(row.draft)),
    el("td", { class: "number" }, row.p_yes === null ? "–" : row.p_yes.toFixed(2)),
    el("td", { title: row.teacher.answer }, judged(row.teacher)),
    el("td", { title: row.rewrite.answer }, judged(row.rewrite)),
    el("td", { title: row.reason.replaceAll("_", " ") }, el("span", { class: "tag " + row.status }, row.status)),
    el("td", { class: "number" }, money(row.cost_usd)),
    el("td", { class: "number" }, row.latency_s ? row.latency_s.toFixed(1) : "–"));
}

function drawHead() {
  const sort = fields.get("sort") || "index", down = fields.get("desc") === "1";
  $("heads").replaceChildren(...COLUMNS.map(([name, title]) => el("th",
    { scope: "col", class: NUMBERS.has(name) ? "number" : null, "aria-sort": name === sort ? (down ? "descending" : "ascending") : null },
    el("button", { type: "button", "data-sort": name, onclick: () => sortBy(name) }, title + (name === sort ? (down ? " ↓" : " ↑") : "")))));
  $("run").textContent = page.run;
  document.title = page.run + " – askback traces";
  const of = page.total === page.sampled ? "" : `${count(page.total)} of `;
  const shown = `${of}${count(page.sampled)} row${page.sampled === 1 ? "" : "s"}`;
  $("totals").textContent = [shown, `${count(page.tokens)} tokens`, page.cost_usd ? money(page.cost_usd) : "no cost"].join(" · ");
}

function sortBy(name) {
  const again = (fields.get("sort") || "index") === name && fields.get("desc") !== "1";
  fields.set("sort", name);
  if (again) fields.set("desc", "1"); else fields.delete("desc");
  ask();
}

// ---- the filters

function drawFilters() {
  const parts = [];
  for (const [name, title] of Object.entries(FILTERS)) {
    const found = page.filters[name];
    if (!found.values.length) continue;
    parts.push(el("h2", {}, title));
    for (const [value, rows] of name === "gold" ? found.values : inOrder(found.values)) {
      const on = fields.getAll(name).includes(value), part = name === "status" && value.includes(": ");
      parts.push(el("button", { type: "button", class: [part ? "part" : "", rows ? "" : "empty"].join(" ").trim(), "aria-pressed": on, "data-filter": name, "data-value": value,
        onclick: () => toggle(name, value, on) },
      el("span", {}, spaced(part ? value.slice(value.indexOf(": ") + 2) : value, name)), el("span", {}, count(rows))));
    }
    if (found.more) parts.push(el("p", {}, `and ${count(found.more)} more; search finds them`));
  }
  const held = document.activeElement && document.activeElement.dataset;
  const key = held && held.filter ? [held.filter, held.value] : null;
  $("filters").replaceChildren(...parts);
  if (key) [...$("filters").querySelectorAll("button")].find((b) => b.dataset.filter === key[0] && b.dataset.value === key[1])?.focus();
}

const spaced = (value, name) => name === "status" ? value.replaceAll("_", " ") : value;

// Kept, dropped, failed, pending, each followed by its reasons; right before wrong.
function inOrder(values) {
  const order = (value) => (ORDER.indexOf(value.split(":")[0]) + ORDER.length + 1) % (ORDER.length + 1);
  return [...values].sort((a, b) => order(a[0]) - order(b[0]) || a[0].includes(": ") - b[0].includes(": ") || b[1] - a[1]);
}

function toggle(name, value, on) {
  const others = fields.getAll(name).filter((each) => each !== value);
  fields.delete(name);
  for (const each of on ? others : [...others, value]) fields.append(name, each);
  ask();
}

function ask() {
  history.replaceState(null, "", (fields.size ? "?" + fields : location.pathname) + location.hash);
  place = 0;
  return reload(true);
}

// ---- one row

function choose(index) {
  const row = rowAt(Math.max(0, Math.min(index, page.total - 1)));
  if (!row) return;
  place = Math.max(0, Math.min(index, page.total - 1));
  const list = $("list"), top = place * HEIGHT;
  if (top < list.scrollTop) list.scrollTop = top;
  if (top + 2 * HEIGHT + 4 > list.scrollTop + list.clientHeight) list.scrollTop = top + 2 * HEIGHT + 4 - list.clientHeight;
  if (row.id !== chosen) history.replaceState(null, "", location.pathname + location.search + "#" + encodeURIComponent(row.id));
  show(row.id);
}

async function show(id) {
  const fresh = id !== chosen;
  chosen = id;
  drawRows();
  try {
    const row = await fetched("/api/rows/" + encodeURIComponent(id));
    if (chosen !== id) return;
    $("detail").replaceChildren(...detail(row));
    if (fresh) $("detail").scrollTop = 0;
    trouble("row");
  } catch (error) {
    if (chosen === id) { $("detail").replaceChildren(); trouble("row", error); }
  }
}

// ---- keys, links, changes of the run

const KEYS = { ArrowDown: () => place + 1, ArrowUp: () => place - 1, PageDown: () => place + 15, PageUp: () => place - 15,
  Home: () => 0, End: () => page.total - 1 };

document.addEventListener("keydown", async (event) => {
  const typing = event.target === $("search");
  if (event.key === "/" && !typing) { event.preventDefault(); $("search").focus(); return; }
  if (event.key === "Escape" && typing) { $("search").value = ""; search(); $("search").blur(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS) || (typing && (event.key === "Home" || event.key === "End"))) return;
  if ($("detail").contains(event.target) && event.target !== document.body) return;
  event.preventDefault();
  const next = Math.max(0, Math.min(chosen ? KEYS[event.key]() : 0, page.total - 1)), block = Math.floor(next / BLOCK);
  if (page.total && !rowAt(next)) await load(block * BLOCK);
  choose(next);
});

let typed = 0;
function search() {
  clearTimeout(typed);
  typed = setTimeout(() => {
    if ($("search").value.trim()) fields.set("q", $("search").value); else fields.delete("q");
    ask().then(() => chosen && show(chosen));
  }, 150);
}

function linked() {
  let id;
  try { id = decodeURIComponent(location.hash.slice(1)); } catch { id = location.hash.slice(1); }
  return id;
}

async function follow() {
  const id = linked();
  if (!id || id === chosen) return;
  show(id);
  const got = await load(0, id);
  if (!got || got.place === null) return;
  place = got.place;
  $("list").scrollTop = Math.max(0, place * HEIGHT - $("list").clientHeight / 2);
  drawRows();
}

async function lookAgain() {
  if (!document.hidden && page.version) {
    const query = new URLSearchParams(fields);
    query.set("limit", 0);
    try {
      const got = await fetched("/api/rows?" + query);
      if (got.version !== page.version) { await reload(); if (chosen) show(chosen); } else trouble("list");
    } catch (error) { trouble("list", error); }
  }
  setTimeout(lookAgain, LOOK_AGAIN_MS);
}

$("search").value = fields.get("q") || "";
$("search").addEventListener("input", search);
$("clear").addEventListener("click", () => { for (const name of [...fields.keys()]) fields.delete(name); $("search").value = ""; ask(); });
$("list").addEventListener("scroll", () => requestAnimationFrame(drawRows));
window.addEventListener("resize", drawRows);
window.addEventListener("hashchange", follow);
reload(true).then(async () => {
  await follow();
  if (!chosen && page.total) choose(0);
  setTimeout(lookAgain, LOOK_AGAIN_MS);
});
