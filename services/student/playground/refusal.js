// What went wrong, in one line, and when it may go better.

import { el } from "./dom.js";

const HINTS = { Unauthorized: "Enter the key at the top.", BudgetExceeded: "Choose another answerer, or raise the teacher's budget." };

// The error as a node. Where the service said how long to wait, the seconds are counted down beside the button, outside of what is read aloud.
export function refusal(error, again) {
  const line = el("p", { role: "alert", class: "error" }, `${error.status ? error.status + " " : ""}${error.kind}: ${error.message}`,
    HINTS[error.kind] ? " " + HINTS[error.kind] : null);
  const button = el("button", { type: "button", class: "quiet", click: again }, "Ask again");
  const wait = el("span", { class: "soft", role: "timer", "aria-live": "off" });
  const node = el("div", { class: "refusal" }, line, button, wait);
  if (error.retryAfter) count(error.retryAfter, wait, button, node);
  return node;
}

function count(seconds, wait, button, node) {
  const until = Date.now() + seconds * 1000;
  button.disabled = true;
  const tick = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    wait.textContent = left > 0 ? ` in ${left} s` : "";
    button.disabled = left > 0;
    if (left > 0 && node.parentNode !== null) setTimeout(tick, 250);
  };
  setTimeout(tick, 0);
  wait.textContent = ` in ${seconds} s`;
}
