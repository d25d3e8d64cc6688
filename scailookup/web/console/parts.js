/** Pieces that several views are made of. */

import { whoActs } from "./ask.js";
import { make } from "./picker-style.js";

export { make };

/** A failure as people need it: what happened, what to do, and who. */
export function failure(detail, again) {
  const facts = [
    ["Who must act", whoActs(detail)],
    ["Error", detail.error],
    ["Upstream status", detail.status],
    ["Wait", detail.retry_after && `${detail.retry_after} s`],
    ["Request id", detail.request_id],
  ];
  const box = make("section", { className: "failure", role: "alert" },
    make("h2", {}, detail.message),
    make("p", {}, detail.fix ?? ""),
    list(facts),
  );
  if (again) box.append(make("div", { className: "actions" }, button("Try again", again)));
  return box;
}

/** Names with their values; those without a value are left out. */
export function list(facts) {
  const node = make("dl", { className: "facts" });
  for (const [name, value] of facts) {
    if (value === undefined || value === null || value === "") continue;
    node.append(make("div", {}, make("dt", {}, name), make("dd", {}, value)));
  }
  return node;
}

export function button(text, action, properties = {}) {
  const node = make("button", { type: "button", ...properties }, text);
  node.addEventListener("click", action);
  return node;
}

/** A line to copy, with a button that does. */
export function copyable(text, what) {
  const said = make("span", { className: "quiet", role: "status" });
  const copy = button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(text);
      said.textContent = "Copied.";
    } catch {
      said.textContent = "Select the line and copy it by hand.";
    }
  });
  copy.setAttribute("aria-label", `Copy ${what}`);
  const code = make("pre", { className: "line", tabIndex: 0, role: "region", "aria-label": what }, make("code", {}, text));
  return make("div", { className: "copyable" }, code, copy, said);
}

/** A field with its label and, where given, a word on it below. */
export function field(label, input, hint) {
  const node = make("label", { className: "field" }, make("span", {}, label), input);
  if (hint) {
    const id = `hint-${Math.random().toString(36).slice(2)}`;
    input.setAttribute("aria-describedby", id);
    node.append(make("small", { id, className: "quiet" }, hint));
  }
  return node;
}

/** A view's heading, which takes the focus when the view changes. */
export function heading(title, lead) {
  const node = make("div", { className: "heading" }, make("h1", { tabIndex: -1 }, title));
  if (lead) node.append(make("p", { className: "quiet" }, lead));
  return node;
}

export function seconds(count) {
  if (count < 60) return `${count} s ago`;
  return count < 3600 ? `${Math.round(count / 60)} min ago` : `${Math.round(count / 3600)} h ago`;
}
