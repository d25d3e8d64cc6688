/** One card for each upstream: is it well, and how has it been. */

import { API, ask } from "./ask.js";
import { faultsPart } from "./faults.js";
import { failure, heading, list, make, seconds } from "./parts.js";
import { bars, lines, sum } from "./plot.js";

const EVERY = 3000;
const STATES = { ok: "Well", failing: "Failing", idle: "Not asked lately" };

export function upstreamsView({ signal, facts }) {
  const root = make("div", {}, heading("Upstreams", "As this process has seen them in the last 15 minutes."));
  if (facts.demo) root.append(faultsPart());
  const cards = make("div", { className: "cards" }, make("p", { className: "quiet" }, "Loading…"));
  const failed = make("div");
  root.append(cards, failed);
  const refresh = async () => {
    if (document.visibilityState === "visible") {
      const answer = await ask(`${API}upstreams`);
      if (signal.aborted) return;
      cards.replaceChildren(...(answer.ok ? answer.json.data.map(card) : [failure(answer.detail, refresh)]));
      if (!answer.ok) return; // somebody must act: asking on would not help
    }
    timer = setTimeout(refresh, EVERY);
  };
  let timer = 0;
  signal.addEventListener("abort", () => clearTimeout(timer));
  refresh();
  plugins(failed, signal);
  return root;
}

function card(upstream) {
  const open = upstream.circuit.state !== "closed";
  const state = open ? "failing" : upstream.state;
  const word = open ? `Circuit ${upstream.circuit.state}` : STATES[upstream.state];
  const { last_error: error, answers } = upstream;
  const answered = sum(Object.values(answers));
  const held = (answers.hit ?? 0) + (answers.stale ?? 0) + (answers["stale-if-error"] ?? 0);
  const calls = sum(upstream.calls);
  return make("article", { className: `card upstream ${state}` },
    make("header", {}, make("h2", {}, upstream.name), make("span", { className: `state ${state}` }, word)),
    make("p", { className: "quiet" }, upstream.summary),
    make("div", { className: "plots" },
      figure(`${calls} calls, ${sum(upstream.failed)} failed`, bars(upstream.calls, upstream.failed)),
      figure(calls ? `${mean(upstream)} ms mean` : "no times", lines(upstream.mean_ms, upstream.slowest_ms)),
    ),
    list([
      ["Last error", error ? `${error.code}${error.status ? ` (${error.status})` : ""}, ${error.lookup}, ${seconds(error.age)}` : "none"],
      ["Last good answer", upstream.last_good_age === null ? "none yet" : seconds(upstream.last_good_age)],
      ["Circuit", open ? `${upstream.circuit.state}, next try in ${upstream.circuit.retry_after} s` : "closed"],
      ["From memory", answered ? `${Math.round((100 * held) / answered)} % of ${answered}` : "nothing asked yet"],
      ["Plugin", `${upstream.plugin.distribution} ${upstream.plugin.version}`],
    ]),
  );
}

function mean(upstream) {
  const all = upstream.mean_ms.map((value, at) => (value ?? 0) * upstream.calls[at]);
  return Math.round(sum(all) / sum(upstream.calls));
}

function figure(caption, plot) {
  return make("figure", {}, plot, make("figcaption", {}, caption));
}

/** The plugins that are not there, and why. */
async function plugins(place, signal) {
  const answer = await ask(`${API}lookups`);
  if (signal.aborted || !answer.ok || !answer.json.failed.length) return;
  const cards = answer.json.failed.map((plugin) =>
    make("article", { className: "card upstream failing" },
      make("header", {}, make("h2", {}, plugin.name), make("span", { className: "state failing" }, "Did not load")),
      make("p", {}, plugin.reason),
      list([["Plugin", `${plugin.distribution} ${plugin.version}`], ["Entry point", plugin.entry_point], ["Who must act", "The operator"]]),
    ),
  );
  place.append(make("h2", {}, "Plugins that failed"), make("div", { className: "cards" }, ...cards));
}
