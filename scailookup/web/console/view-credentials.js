/** The tenant's own ScaiGrid key: what is set, and another one, tried before it is kept. */

import { API, ask } from "./ask.js";
import { button, failure, field, heading, list, make } from "./parts.js";
import { session } from "./session.js";

const PLACE = `${API}tenants/me/scaigrid_credentials`;

export function credentialsView({ signal }) {
  const status = make("section", { className: "card" }, make("p", { className: "quiet" }, "Loading…"));
  const load = async () => {
    const answer = await ask(PLACE);
    if (!signal.aborted) status.replaceChildren(make("h2", {}, "What is set"), answer.ok ? statusPart(answer.json) : failure(answer.detail, load));
  };
  load();
  return make("div", {},
    heading("Credentials", "The key that calls are signed with where the caller's own token is not used."),
    status,
    make("section", { className: "card" }, make("h2", {}, "Set or rotate"), session.isAdmin ? rotation(load) : notYours()),
  );
}

function statusPart(found) {
  if (!found.configured) return make("p", {}, "Your tenant has no key of its own.");
  return list([["Key", make("code", {}, found.masked_key)], ["Address", found.base_url ?? "the operator's"]]);
}

function notYours() {
  return make("p", { className: "quiet" }, "Somebody with the role tenant_admin must do this.");
}

function rotation(saved) {
  const key = make("input", { type: "password", autocomplete: "off", required: true, spellcheck: false, placeholder: "sgk_…" });
  const url = make("input", { type: "url", autocomplete: "off", placeholder: "https://…" });
  const said = make("div");
  const body = () => ({ api_key: key.value.trim(), ...(url.value.trim() ? { base_url: url.value.trim() } : {}) });
  const form = make("form", {},
    field("New ScaiGrid key", key, "Kept in the secret store only; nobody is shown it again."),
    field("Address of its own, if any", url, "Only hosts that the operator allows."),
    make("div", { className: "actions" }, make("button", { className: "primary" }, "Try it, then save"), button("Only try it", () => form.reportValidity() && tryIt())),
    said,
  );
  const tryIt = async () => {
    said.replaceChildren(make("p", { className: "quiet", role: "status" }, "Trying the key…"));
    const answer = await ask(`${PLACE}/test`, { method: "POST", body: body() });
    if (answer.ok) said.replaceChildren(good(`The key works: the first page has ${answer.json.rows} models, in ${Math.round(answer.json.duration_ms)} ms.`));
    else said.replaceChildren(failure(answer.detail), make("p", { className: "quiet" }, "Nothing was saved."));
    return answer.ok;
  };
  const save = async () => {
    const answer = await ask(PLACE, { method: "POST", body: body() });
    if (!answer.ok) return said.replaceChildren(failure(answer.detail));
    form.reset();
    said.replaceChildren(good("Saved. It is used from now on."));
    saved();
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (await tryIt()) await save();
  });
  return form;
}

function good(text) {
  return make("p", { className: "good", role: "status" }, text);
}
