/** The page: which view is seen, who is signed in, light or dark. */

import "./pickers.js";
import { ask } from "./ask.js";
import { button, failure, make } from "./parts.js";
import { configure } from "./pickers.js";
import { session } from "./session.js";
import { comeBack, signInView } from "./signin.js";
import { credentialsView } from "./view-credentials.js";
import { explainView } from "./view-explain.js";
import { lookupsView } from "./view-lookups.js";
import { upstreamsView } from "./view-upstreams.js";

const VIEWS = {
  lookups: ["Lookups", lookupsView],
  upstreams: ["Upstreams", upstreamsView],
  explain: ["Explain", explainView],
  credentials: ["Credentials", credentialsView],
};
const main = document.getElementById("main");
const views = document.getElementById("views");
const who = document.getElementById("who");
let facts = {};
let leaving = null; // what the view that is seen wants done before it goes

function show(node) {
  leaving?.abort();
  leaving = new AbortController();
  main.replaceChildren(node(leaving.signal));
}

function route({ focus = true } = {}) {
  showWho();
  const signedIn = session.claims !== null;
  views.hidden = !signedIn;
  if (!signedIn) return show(() => signInView(facts));
  const [name, value] = location.hash.slice(1).split("?", 2);
  const at = name in VIEWS ? name : "lookups";
  document.title = `${VIEWS[at][0]} · scailookup`;
  for (const link of views.children) {
    if (link.hash === `#${at}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  show((signal) => VIEWS[at][1]({ signal, facts, query: new URLSearchParams(value ?? "") }));
  if (focus) main.querySelector("h1")?.focus();
}

function showWho() {
  const { claims, roles } = session;
  who.replaceChildren(themeButton());
  if (!claims) return;
  const name = make("span", { className: "person" }, claims.tenant_id ?? "unknown tenant", make("small", {}, roles.join(", ") || claims.sub || ""));
  who.prepend(name);
  if (session.token) who.append(button("Sign out", () => session.signOut(), { className: "plain" }));
}

function themeButton() {
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const node = button("", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    node.textContent = isDark() ? "Light" : "Dark";
  }, { className: "plain" });
  node.textContent = isDark() ? "Light" : "Dark";
  node.setAttribute("aria-label", "Change between light and dark");
  return node;
}

async function start() {
  const answer = await ask(new URL("facts.json", import.meta.url));
  if (!answer.ok) return main.replaceChildren(failure(answer.detail, () => start()));
  facts = answer.json;
  document.getElementById("version").textContent = facts.version;
  views.replaceChildren(...Object.entries(VIEWS).map(([name, [title]]) => make("a", { href: `#${name}` }, title)));
  configure({ token: () => session.token, poll: 15 });
  session.onchange(() => route());
  addEventListener("hashchange", () => route());
  if (facts.developer) return session.developer(facts.developer);
  try {
    if (await comeBack(facts.sign_in)) return;
    route({ focus: false });
  } catch (failed) {
    showWho();
    show(() => signInView(facts, failed.detail ?? { error: "sign_in", message: "The sign-in failed.", fix: "Sign in again." }));
  }
}

start();
