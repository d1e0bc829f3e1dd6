// The page: the question, one or two columns, the address that keeps both, the key, and whether the service can serve.

import { read, write } from "./address.js";
import { call, key } from "./api.js";
import { Column } from "./column.js";
import { $, el } from "./dom.js";

const EXAMPLES = [
  "Could a giraffe look over the roof of a double-decker bus?",
  "Did Mozart live to see a photograph of himself?",
  "Is there a mountain in Africa with snow on its top?",
  "Can one drive from Lisbon to Warsaw without taking a ferry?",
  "Would a strict vegetarian eat a classic Caesar dressing?",
  "Did cooks in ancient Rome put tomatoes into their sauces?",
];
const LOOK_AGAIN_MS = 3000;

let columns = [], listing = null;

const setups = () => columns.map((column) => column.setup);

function keep() {
  history.replaceState(null, "", write({ question: $("question").value.trim(), setups: setups() }));
}

function added(setup) {
  const column = new Column(setup, listing, { changed: keep, again: () => ask([column]), refused });
  return column;
}

function draw(shown) {
  columns.filter((column) => !shown.includes(column)).forEach((column) => column.stop());
  columns = shown;
  $("columns").replaceChildren(...columns.map((column) => column.node));
  $("columns").dataset.count = columns.length;
  columns.forEach((column, index) => column.node.setAttribute("aria-label", columns.length > 1 ? `Setup ${index + 1}` : "Setup"));
  $("compare").checked = columns.length > 1;
}

function follow() {
  const state = read(location.hash);
  $("question").value = state.question;
  draw(state.setups.map(added));
}

function refused(error) {
  if (error.status === 401) {
    $("access").open = true;
    $("key").focus();
  }
  if (error.status === 503) look();
}

// All columns are asked at the same time.
async function ask(chosen = columns) {
  if (!$("asking").reportValidity()) return;
  keep();
  $("stop").hidden = false;
  await Promise.all(chosen.map((column) => column.ask($("question").value.trim())));
  $("stop").hidden = !columns.some((column) => column.busy);
}

async function list() {
  try {
    listing = await call("/v1/adapters");
    columns.forEach((column) => column.offer(listing));
    $("trouble").hidden = true;
  } catch (error) {
    $("trouble").textContent = error.status === 401 ? "This service asks for a key; enter it at the top." : error.message;
    $("trouble").hidden = false;
    if (error.status === 401) $("access").open = true;
  }
}

let looking = 0;
async function look() {
  const turn = ++looking;
  const [state, text] = await call("/readyz").then(() => ["yes", "ready"], (error) => ["no", error.message]);
  if (turn !== looking) return;
  if ($("ready").textContent !== text) $("ready").textContent = text;
  $("ready").dataset.state = state;
  if (state === "no") setTimeout(() => turn === looking && look(), LOOK_AGAIN_MS);
}

$("examples").replaceChildren(...EXAMPLES.map((text) => el("button", { type: "button", class: "quiet", click: () => {
  $("question").value = text;
  keep();
  $("question").focus();
} }, text)));
$("asking").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
$("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); ask(); }
});
$("question").addEventListener("change", keep);
$("stop").addEventListener("click", () => {
  columns.forEach((column) => column.stop());
  $("ask").focus();
});
$("compare").addEventListener("change", () => {
  const { setup } = columns[0];
  draw($("compare").checked ? [columns[0], added({ ...setup, mode: setup.mode === "direct" ? "assisted" : "direct" })] : [columns[0]]);
  keep();
});
$("key").value = key.get();
$("key").addEventListener("change", () => { key.set($("key").value.trim()); list(); });
addEventListener("hashchange", follow);

follow();
list();
look();
