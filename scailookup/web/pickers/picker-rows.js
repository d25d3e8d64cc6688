/**
 * What a row looks like as an option. Pure functions: rows in, plain values out.
 *
 * An option is {value, label, group, details, concern, text, row}: `concern` says in a word why the row
 * should be chosen with care ("" when it need not), `text` is what a search looks through.
 */

const POOR = new Set([
  "deprecated", "retired", "inactive", "disabled", "unavailable", "degraded", "unhealthy", "down", "offline", "paused",
]);
const KEYS = ["id", "slug", "bunker_id"];
const word = (value) => (typeof value === "string" ? value : typeof value === "number" ? String(value) : "");

/** 128000 as 128K, 1047576 as 1.05M. */
export function tokens(count) {
  if (count >= 1e6) return `${Number((count / 1e6).toFixed(2))}M`;
  return count >= 1000 ? `${Number((count / 1e3).toFixed(count < 1e4 ? 1 : 0))}K` : String(count);
}

function option(row, value, more) {
  const label = word(row.display_name) || word(row.name) || value;
  const concern = [row.status, row.health_status, row.state].find((state) => POOR.has(state)) ?? "";
  const group = more.group ?? "";
  const text = `${label}\n${value}\n${word(row.slug)}\n${group}`.toLowerCase();
  return { value, label, group, details: (more.details ?? []).filter(Boolean), concern, text, row };
}

/** Any row: by the field `key`, else by the first that looks like an id. */
export function anyOption(row, { key, groupBy } = {}) {
  const field = key || KEYS.find((name) => word(row[name])) || Object.keys(row).find((name) => word(row[name]));
  const value = word(row[field]);
  return option(row, value, { group: word(row[groupBy]), details: [word(row.description)] });
}

export function modelOption(row) {
  const slug = word(row.slug);
  const cut = slug.lastIndexOf("/");
  return option(row, slug, {
    group: cut > 0 ? slug.slice(0, cut) : word(row.owned_by),
    details: [
      word(row.modality),
      row.context_window ? `${tokens(row.context_window)} context` : "",
      row.max_output_tokens ? `${tokens(row.max_output_tokens)} output` : "",
    ],
  });
}

export function queueOption(row) {
  const system = word(row.slug).startsWith("_");
  return option(row, word(row.id), {
    group: system ? "System queues" : "Queues",
    details: [word(row.slug), word(row.consumer_mode), row.max_retries === undefined ? "" : `${row.max_retries} retries`],
  });
}

export function bunkerOption(row) {
  return option(row, word(row.bunker_id), {
    group: word(row.lifecycle),
    details: [word(row.status), word(row.image_ref)],
  });
}

/** The options of `rows`, those of one group together, groups in the order they are met. */
export function optionsOf(rows, make) {
  const groups = new Map();
  for (const row of rows) {
    const made = make(row);
    if (!made.value) continue;
    if (!groups.has(made.group)) groups.set(made.group, []);
    groups.get(made.group).push(made);
  }
  return [...groups.values()].flat();
}

/** The options that hold every word of `query`, and whose field `by` is `only` when that is given. */
export function matching(options, query, by, only) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return options.filter(
    (one) => (!only || word(one.row[by]) === only) && words.every((part) => one.text.includes(part)),
  );
}

/** The different values of the field `by`, in the order they are met. */
export function valuesOf(options, by) {
  return [...new Set(options.map((one) => word(one.row[by])))].filter(Boolean);
}
