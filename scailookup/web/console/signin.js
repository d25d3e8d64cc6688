/** Signing in: with ScaiKey where it is configured, with a pasted token, or as one of the demo's users. */

import { button, failure, field, heading, make } from "./parts.js";
import { parse, session } from "./session.js";

const KEPT = "scailookup-sign-in"; // state, nonce and verifier while the browser is away; never a token
const RETURN = new URL("../console", import.meta.url).href;
const DISCOVERY = ["api/v1/platform/oauth/.well-known/openid-configuration", ".well-known/openid-configuration"];

class SignInFailed extends Error {
  constructor(message, fix) {
    super(message);
    this.detail = { error: "sign_in", message, fix };
  }
}

const base64url = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

/** ScaiKey's own word on where to go; both must be on its own origin. */
async function discover(issuer) {
  const root = issuer.endsWith("/") ? issuer : `${issuer}/`;
  for (const path of DISCOVERY) {
    let found = null;
    try {
      const response = await fetch(new URL(path, root), { credentials: "omit" });
      found = response.ok ? await response.json() : null;
    } catch {
      found = null;
    }
    if (!found) continue;
    const places = [found.authorization_endpoint, found.token_endpoint].map((url) => URL.canParse(url) && new URL(url));
    if (places.every((url) => url && url.origin === new URL(root).origin)) return found;
  }
  throw new SignInFailed(
    "ScaiKey did not say where to sign in.",
    `Paste a token instead, or the operator must see that ScaiKey answers ${location.origin} (CORS) with its discovery document.`,
  );
}

async function leave(facts) {
  const found = await discover(facts.issuer);
  const kept = { state: random(), nonce: random(), verifier: random() };
  sessionStorage.setItem(KEPT, JSON.stringify(kept));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(kept.verifier));
  const url = new URL(found.authorization_endpoint);
  const asked = {
    response_type: "code",
    client_id: facts.client_id,
    redirect_uri: RETURN,
    scope: "openid profile",
    state: kept.state,
    nonce: kept.nonce,
    code_challenge: base64url(digest),
    code_challenge_method: "S256",
  };
  for (const [name, value] of Object.entries(asked)) url.searchParams.set(name, value);
  location.assign(url);
}

/** Come back from ScaiKey with a code, if this is what the address says; whether it was. */
export async function comeBack(facts) {
  const query = new URL(location.href).searchParams;
  if (!facts || !query.has("state") || !(query.has("code") || query.has("error"))) return false;
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
  sessionStorage.removeItem(KEPT);
  history.replaceState(null, "", RETURN); // a code must not stay in the address
  if (!kept || query.get("state") !== kept.state) {
    throw new SignInFailed("This sign-in was not begun in this window.", "Sign in again.");
  }
  if (query.has("error")) throw new SignInFailed(`ScaiKey refused: ${query.get("error").slice(0, 64)}`, "Sign in again, or ask the operator.");
  session.signIn(await exchange(facts, query.get("code"), kept));
  return true;
}

async function exchange(facts, code, kept) {
  const found = await discover(facts.issuer);
  const body = new URLSearchParams({
    grant_type: "authorization_code",
    code,
    redirect_uri: RETURN,
    client_id: facts.client_id,
    code_verifier: kept.verifier,
  });
  let tokens = null;
  try {
    const response = await fetch(found.token_endpoint, { method: "POST", body, credentials: "omit" });
    tokens = response.ok ? await response.json() : null;
  } catch {
    tokens = null;
  }
  if (!tokens?.access_token) throw new SignInFailed("ScaiKey gave no token for its code.", "Sign in again; if it stays, the operator must look at the client at ScaiKey.");
  if (!meant(tokens.id_token, facts, kept.nonce)) {
    throw new SignInFailed("What ScaiKey answered was not meant for this sign-in.", "Sign in again; if it stays, tell the operator.");
  }
  return tokens.access_token;
}

/** Whether the id token, which came from ScaiKey itself, answers this very sign-in. */
function meant(idToken, facts, nonce) {
  try {
    const claims = parse(idToken);
    return claims.nonce === nonce && [claims.aud].flat().includes(facts.client_id);
  } catch {
    return false;
  }
}

const DEMO_WORDS = {
  viewer: "Viewer of tnt_acme",
  admin: "Admin of tnt_acme",
  user: "User of tnt_acme, may not look",
  globex: "Viewer of tnt_globex",
};

/** The view. `problem` is the detail of a sign-in that failed. */
export function signInView(facts, problem) {
  const card = make("section", { className: "card narrow" }, heading("Sign in", "To see what your tenant has, and how the service does."));
  if (problem) card.append(failure(problem));
  if (facts.sign_in) {
    const go = button("Sign in with ScaiKey", async () => {
      try {
        await leave(facts.sign_in);
      } catch (failed) {
        card.querySelector(".failure")?.remove();
        card.querySelector(".heading").after(failure(failed.detail ?? { error: "sign_in", message: String(failed), fix: "Paste a token instead." }));
      }
    }, { className: "primary" });
    card.append(make("p", {}, go));
  }
  if (facts.demo) card.append(demoChoices(facts.demo.tokens));
  card.append(pasted());
  return card;
}

function demoChoices(tokens) {
  const node = make("div", { className: "choices", role: "group", "aria-label": "Demo users" });
  for (const [name, token] of Object.entries(tokens)) {
    node.append(button(DEMO_WORDS[name] ?? name, () => session.signIn(token)));
  }
  return make("div", { className: "demo" }, make("h2", {}, "This is a demo: be one of these"), node);
}

function pasted() {
  const input = make("textarea", { rows: 3, autocomplete: "off", spellcheck: false, required: true, className: "mono" });
  const form = make("form", {}, field("Access token", input, "Kept in this page's memory only; a reload forgets it."), make("button", {}, "Use this token"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const token = input.value.trim().replace(/^Bearer\s+/i, "");
    input.value = "";
    if (token) session.signIn(token);
  });
  return make("details", { className: "paste" }, make("summary", {}, "Paste a token"), form);
}
