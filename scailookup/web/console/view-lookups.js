/** Every lookup of the catalogue, as its picker, as JSON, and as a curl line. */

import { API, ask } from "./ask.js";
import { button, copyable, failure, field, heading, list, make } from "./parts.js";

const MOST_LINES = 400;
const PICKERS = { "/scaigrid/models": "scai-model-picker", "/scaibunker/bunkers": "scai-bunker-picker" };
const QUEUES = "/scaiqueue/scopes/{scope_id}/queues";

export function lookupsView({ signal, query }) {
  const root = make("div", {}, heading("Lookups", "What your tenant may choose from, as a picker and as it comes."));
  const body = make("div", { className: "loading" }, "Loading the catalogue…");
  root.append(body);
  const load = async () => {
    const answer = await ask(`${API}lookups`);
    if (signal.aborted) return;
    if (!answer.ok) return body.replaceChildren(failure(answer.detail, load));
    body.className = "split";
    body.replaceChildren(...split(answer.json.data, query.get("lookup")));
  };
  load();
  return root;
}

function split(upstreams, wanted) {
  const all = upstreams.flatMap((upstream) => upstream.lookups.map((lookup) => ({ ...lookup, upstream })));
  const panel = make("div", { className: "panel" });
  const menu = make("nav", { className: "menu", "aria-label": "Lookups" });
  const open = (lookup) => {
    for (const node of menu.querySelectorAll("button")) {
      if (node.dataset.path === lookup.path) node.setAttribute("aria-current", "true");
      else node.removeAttribute("aria-current");
    }
    panel.replaceChildren(...lookupPanel(lookup));
  };
  for (const upstream of upstreams) {
    if (upstream.lookups.length) menu.append(make("h2", {}, upstream.name));
    for (const lookup of all.filter((one) => one.upstream === upstream)) {
      const node = button(lookup.name, () => open(lookup));
      node.dataset.path = lookup.path;
      menu.append(node);
    }
  }
  const first = all.find((lookup) => lookup.path === wanted) ?? all.find((lookup) => lookup.path === "/scaigrid/models") ?? all[0];
  if (first) open(first);
  else panel.append(make("p", { className: "quiet" }, "There is no lookup: no plugin declares one."));
  return [menu, panel];
}

function lookupPanel(lookup) {
  const { plugin } = lookup.upstream;
  const answer = make("div", { className: "answer" });
  return [
    make("section", { className: "card" },
      make("h2", { className: "mono" }, lookup.path),
      make("p", { className: "quiet" }, lookup.summary, " Needs ", make("code", {}, lookup.permission), ". Plugin ", plugin.name, " ", plugin.version, "."),
      ...pickerPart(lookup),
    ),
    make("section", { className: "card" }, make("h2", {}, "As it comes"), questions(lookup, answer), answer),
  ];
}

function pickerPart(lookup) {
  const attributes = { label: lookup.summary || lookup.name };
  let tag = PICKERS[lookup.path];
  if (lookup.path === QUEUES) tag = "scai-queue-picker";
  else if (!tag && lookup.path.includes("{")) return [make("p", { className: "quiet" }, "Its path takes values: see below.")];
  else if (!tag) {
    tag = "scai-lookup-picker";
    attributes.src = lookup.path.slice(1);
  }
  if (lookup.path === QUEUES) attributes.label = "Queue";
  if (lookup.path === "/scaigrid/models") attributes.label = "Model";
  if (lookup.path === "/scaibunker/bunkers") attributes.label = "Bunker";
  const picker = make(tag);
  for (const [name, value] of Object.entries(attributes)) picker.setAttribute(name, value);
  const chosen = make("p", { className: "quiet", role: "status" });
  picker.addEventListener("change", () => {
    chosen.textContent = picker.value ? `value: ${picker.value}` : "";
  });
  const written = Object.entries(attributes).map(([name, value]) => `${name}="${value}"`).join(" ");
  return [picker, chosen, copyable(`<${tag} name="${lookup.name.split("/").pop()}" ${written}></${tag}>`, "the HTML of this picker")];
}

/** A form of the lookup's parameters; asks at once where nothing has to be filled in. */
function questions(lookup, answer) {
  const inputs = lookup.parameters.map((one) => [one, parameterInput(lookup, one)]);
  const form = make("form", { className: "parameters" });
  for (const [one, input] of inputs) {
    form.append(one.in === "path" && input.localName.includes("-") ? input : field(one.name, input, one.description));
  }
  form.append(make("div", { className: "actions" }, make("button", { className: "primary" }, "Ask")));
  const run = async () => {
    answer.replaceChildren(make("p", { className: "quiet", role: "status" }, "Asking…"));
    const url = urlOf(lookup, inputs);
    const got = await ask(url);
    if (answer.isConnected) answer.replaceChildren(...answerParts(got, url, run));
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  if (!inputs.some(([one]) => one.in === "path")) queueMicrotask(run);
  return form;
}

function parameterInput(lookup, one) {
  if (one.name === "scope_id" && lookup.path === QUEUES) {
    const picker = make("scai-lookup-picker");
    for (const [name, value] of Object.entries({ src: "scaiqueue/scopes", label: "scope_id" })) picker.setAttribute(name, value);
    picker.required = true;
    return picker;
  }
  const input = make("input", { type: "text", autocomplete: "off", required: one.in === "path" });
  if (one.name === "limit") Object.assign(input, { inputMode: "numeric", value: "25" });
  return input;
}

function urlOf(lookup, inputs) {
  let path = lookup.path.slice(1);
  const query = [];
  for (const [one, input] of inputs) {
    const value = input.value.trim();
    if (one.in === "path") path = path.replace(`{${one.name}}`, quoted(value));
    else if (value) query.push(`${one.name}=${quoted(value)}`);
  }
  return API + path + (query.length ? `?${query.join("&")}` : "");
}

/** As it stands in a url, and between single quotes of a shell. */
const quoted = (value) => encodeURIComponent(value).replaceAll("'", "%27");

function answerParts(got, url, again) {
  const curl = copyable(`curl -s -H "Authorization: Bearer $TOKEN" '${url}'`, "the curl line");
  const facts = list([
    ["Status", got.status || "none"],
    ["Rows", got.ok ? (got.json?.data?.length ?? "none") : null],
    ["Time", `${got.ms.toFixed(0)} ms`],
    ["Upstream", /upstream;dur=([\d.]+)/.exec(got.header("Server-Timing"))?.[1]?.concat(" ms")],
    ["Cache", cacheWord(got.header("Cache-Status"), got.header("Age"))],
    ["Credential", got.header("X-Lookup-Credential")],
    ["Said besides", got.json?.meta ? JSON.stringify(got.json.meta) : null],
    ["Request id", got.header("X-Request-ID")],
  ]);
  if (!got.ok) return [facts, failure(got.detail, again), explainLink(url), curl];
  return [facts, curl, jsonPart(got)];
}

function explainLink(url) {
  const href = `#explain?lookup=${encodeURIComponent(url.slice(API.length))}`;
  return make("p", {}, make("a", { href }, "Explain it"), ", step by step.");
}

/** RFC 9211's words in ours. */
export function cacheWord(status, age) {
  if (!status) return "";
  if (/;\s*collapsed/.test(status)) return "shared another's question";
  if (/;\s*fwd=/.test(status)) return "asked the upstream";
  return /stale/.test(status) ? `from memory, ${age} s old, stale` : `from memory, ${age} s old`;
}

function jsonPart(got) {
  const lines = JSON.stringify(got.json, null, 2).split("\n");
  const text = lines.slice(0, MOST_LINES).join("\n");
  const node = make("pre", { className: "json", tabIndex: 0, role: "region", "aria-label": "The answer as JSON" }, make("code", {}, text));
  if (lines.length <= MOST_LINES) return node;
  return make("div", {}, node, make("p", { className: "quiet" }, `The first ${MOST_LINES} of ${lines.length} lines. The curl line brings all.`));
}
