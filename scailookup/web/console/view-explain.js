/** One lookup step by step, for who is signed in: what was done, what was seen, who must do what. */

import { API, ask, whoActs } from "./ask.js";
import { copyable, failure, field, heading, list, make } from "./parts.js";

const FIRST = "scaigrid/models";
const TITLES = {
  token: "Token", permission: "Permission", credential: "Credential", address: "Address", dns: "Name",
  connection: "Connection", call: "Call", answer: "Answer", cache: "Memory",
};
const WORDS = { ok: "well", warn: "look at it", failed: "failed", skipped: "not looked at" };
// Said by the message already.
const SAID = new Set(["error", "check", "subject", "status"]);

export function explainView({ signal, query }) {
  const path = make("input", { type: "text", required: true, autocomplete: "off", spellcheck: false, value: query.get("lookup") ?? FIRST });
  const known = make("datalist", { id: "lookups-known" });
  path.setAttribute("list", known.id);
  const result = make("div");
  const said = make("p", { className: "quiet", role: "status" });
  const form = make("form", {},
    field("Lookup", path, "Its path with its values, and its query if it needs one."), known,
    make("div", { className: "actions" }, make("button", { className: "primary" }, "Explain")), said,
  );
  const run = async () => {
    said.textContent = "Asking…";
    const lookup = path.value.trim().replace(/^\//, "");
    history.replaceState(null, "", `#explain?lookup=${encodeURIComponent(lookup)}`);
    const url = `${API}explain?lookup=${quoted(lookup)}`;
    const answer = await ask(url);
    if (signal.aborted) return;
    said.textContent = answer.ok ? verdict(answer.json.steps) : "";
    result.replaceChildren(...parts(answer, url, run));
  };
  path.addEventListener("input", () => {
    const open = /\{(\w+)\}/.exec(path.value);
    path.setCustomValidity(open ? `Write a value in the place of ${open[0]}.` : "");
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  run();
  suggest(known, signal);
  return make("div", {},
    heading("Explain", "How a lookup goes for you, step by step. It asks the upstream now, and keeps nothing."),
    make("section", { className: "card" }, form), result,
  );
}

/** As it stands in a url, and between single quotes of a shell. */
const quoted = (value) => encodeURIComponent(value).replaceAll("'", "%27");

/** The catalogue's lookups to choose from; who may not see it writes a path by hand. */
async function suggest(known, signal) {
  const answer = await ask(`${API}lookups`);
  if (signal.aborted || !answer.ok) return;
  const lookups = answer.json.data.flatMap((upstream) => upstream.lookups);
  known.replaceChildren(...lookups.map((lookup) => make("option", { value: lookup.path.slice(1) }, lookup.summary)));
}

function verdict(steps) {
  const bad = steps.find((step) => step.status === "failed");
  if (bad) return `It ends at ${TITLES[bad.name]}.`;
  const odd = steps.filter((step) => step.status === "warn").map((step) => TITLES[step.name]);
  if (odd.length) return `It works; look at ${odd.join(", ")}.`;
  const asked = steps.some((step) => step.name === "call" && step.status !== "skipped");
  return asked ? "All is well." : "What is shown is well; the upstream was not asked.";
}

function parts(answer, url, again) {
  const curl = copyable(`curl -s -H "Authorization: Bearer $TOKEN" '${url}'`, "the curl line");
  const steps = answer.ok ? answer.json.steps : answer.detail.steps;
  const bad = answer.ok && steps.find((step) => step.status === "failed");
  const found = [];
  if (!answer.ok) found.push(failure(answer.detail, again));
  if (bad) {
    const told = { message: `${TITLES[bad.name]}: ${bad.message}`, fix: bad.fix, request_id: answer.header("X-Request-ID") };
    found.push(failure({ ...bad.details, ...told }, again));
  }
  if (steps) found.push(make("section", { className: "card" }, make("h2", {}, "Steps"), make("ol", { className: "steps" }, ...grouped(steps).map(item)), curl));
  return found;
}

/** The steps; those skipped one after the other for the same reason are one. */
function grouped(steps) {
  const groups = [];
  for (const step of steps) {
    const last = groups.at(-1);
    const same = last && !step.details && !last.details && last.status === "skipped" && last.message === step.message;
    if (same) last.titles.push(TITLES[step.name]);
    else groups.push({ ...step, titles: [TITLES[step.name]] });
  }
  return groups;
}

function item(step) {
  const node = make("li", { className: step.status },
    make("h3", {}, step.titles.join(", "), " ", make("span", { className: `state ${step.status}` }, WORDS[step.status])),
    make("p", {}, step.message),
  );
  if (step.fix) node.append(make("p", {}, make("strong", {}, `${whoActs({ ...step.details, fix: step.fix })}: `), step.fix));
  const facts = Object.entries(step.details ?? {}).filter(([name]) => !SAID.has(name));
  if (facts.length) node.append(list(facts.map(([name, value]) => [label(name), words(value)])));
  return node;
}

function label(name) {
  const text = name.replaceAll("_", " ");
  return text[0].toUpperCase() + text.slice(1);
}

/** A detail in words: a list by commas, each object in it by its values; an object alone with its names. */
function words(value) {
  if (Array.isArray(value)) return value.map((one) => (isObject(one) ? Object.values(one).map(words).join(": ") : words(one))).join(", ");
  if (isObject(value)) return Object.entries(value).map(([name, one]) => `${name.replaceAll("_", " ")}: ${words(one)}`).join(", ");
  if (typeof value === "boolean") return value ? "yes" : "no";
  return String(value);
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
