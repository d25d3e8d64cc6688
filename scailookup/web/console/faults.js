/** The demo's switch: break the made-up platform, look, mend it. */

import { ask } from "./ask.js";
import { button, failure, field, make } from "./parts.js";

const PLACE = new URL("faults", import.meta.url);
const KINDS = [
  ["Answers 500", { status: 500 }],
  ["Answers 429, wait 5 s", { status: 429 }],
  ["Refuses everybody (401)", { status: 401 }],
  ["Cuts the connection", { reset: true }],
  ["Takes 20 seconds", { delay: 20 }],
  ["Sends a login page", { html: true }],
  ["Sends nothing", { empty: true }],
  ["Redirects elsewhere", { redirect: true }],
];
const PATHS = [
  ["all lists", "/v1/mod"],
  ["models", "/v1/models"],
  ["scopes and queues", "/v1/modules/scaiqueue"],
  ["bunkers", "/v1/modules/scaibunker"],
];

export function faultsPart() {
  const said = make("div", { role: "status" });
  const kind = choice(KINDS);
  const path = choice(PATHS);
  const change = async (options) => {
    const answer = await ask(PLACE, options);
    said.replaceChildren(answer.ok ? broken(answer.json.faults) : failure(answer.detail));
  };
  const form = make("form", { className: "parameters" }, field("What goes wrong", kind), field("Where", path),
    make("div", { className: "actions" }, make("button", { className: "danger" }, "Break it"), button("Mend everything", () => change({ method: "DELETE" }))),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    change({ method: "POST", body: { path: PATHS[path.value][1], ...KINDS[kind.value][1] } });
  });
  change({});
  return make("section", { className: "card" }, make("h2", {}, "Demo: break the platform"), form, said);
}

function choice(options) {
  return make("select", {}, ...options.map(([text], at) => make("option", { value: String(at) }, text)));
}

function broken(faults) {
  if (!faults.length) return make("p", { className: "quiet" }, "Nothing is broken.");
  const words = faults.map(({ path, ...rest }) => `${path}: ${JSON.stringify(rest)}`);
  return make("p", {}, make("strong", {}, "Broken: "), words.join("; "), ". ", make("a", { href: "#lookups" }, "See what a lookup says now"), ".");
}
