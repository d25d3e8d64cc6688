/**
 * Where a picker's rows come from: one lookup, asked conditionally and again for as long as somebody looks.
 */

const DEFAULTS = { base: new URL("../api/v1/", import.meta.url).href, token: null, poll: 30 };
const settings = { ...DEFAULTS };
const LONGEST_WAIT = 300;

/** Set what pickers use that say nothing themselves; see pickers.d.ts. */
export function configure(options = {}) {
  for (const name of Object.keys(DEFAULTS)) {
    if (options[name] !== undefined) settings[name] = options[name] ?? DEFAULTS[name];
  }
  for (const source of [...live]) source.restart();
}

/** A failure with the service's own words: `message`, and in `fix` what to do and who must do it. */
export class LookupError extends Error {
  constructor(detail, status) {
    super(detail.message);
    this.name = "LookupError";
    this.status = status;
    this.detail = detail;
  }
}

const live = new Set();

/** The url of a lookup; a token must not go to another origin than the base's. */
export function lookupUrl(src, base = settings.base) {
  const root = new URL(base.endsWith("/") ? base : `${base}/`, document.baseURI);
  const url = new URL(src, root);
  if (url.origin !== root.origin) {
    throw new LookupError(
      {
        error: "foreign_src",
        message: `${url.origin} is not where lookups are asked.`,
        fix: "Whoever wrote this page must give src as a path, and the service's address as base.",
      },
      null,
    );
  }
  return url.href;
}

async function bearer(provider, renew) {
  const given = typeof provider === "function" ? await provider({ renew }) : provider;
  return given ? { Authorization: `Bearer ${given}` } : {};
}

async function send(url, provider, etag, signal, renew) {
  const headers = { Accept: "application/json", ...(await bearer(provider, renew)) };
  if (etag) headers["If-None-Match"] = etag;
  return fetch(url, { headers, signal, cache: "no-store", credentials: "omit", redirect: "error" });
}

/** Ask once; a 401 asks the provider for a new token and then once more. */
async function ask(url, provider, etag, signal) {
  const first = await send(url, provider, etag, signal, false);
  if (first.status !== 401 || typeof provider !== "function") return first;
  return send(url, provider, etag, signal, true);
}

async function failureOf(response) {
  let detail = null;
  try {
    detail = (await response.json()).detail;
  } catch {
    // not the service's own words: a proxy before it, say
  }
  if (!detail || typeof detail.message !== "string") {
    detail = {
      error: `http_${response.status}`,
      message: `The lookup service answered ${response.status} without saying why.`,
      fix: "The operator must look at what stands before the lookup service.",
    };
  }
  return new LookupError(detail, response.status);
}

function unreachable() {
  return new LookupError(
    {
      error: "unreachable",
      message: "The lookup service cannot be reached from this page.",
      fix:
        "Check the connection and try again; if it stays, the operator must check that the service runs " +
        `and that SCAILOOKUP_CORS_ORIGINS names ${location.origin}.`,
    },
    null,
  );
}

/**
 * Keeps one lookup's rows. `state` is idle, loading, ready or error; rows that are there stay
 * while a later question fails, with `error` set and `stale` true. `changed` is called after each change.
 */
export class Source {
  #src = null;
  #etag = null;
  #timer = 0;
  #asking = null;
  #again = () => {
    if (document.visibilityState === "visible") this.refresh();
  };

  constructor(options, changed) {
    this.options = options; // () => ({base, token, poll}), each perhaps undefined
    this.changed = changed;
    this.rows = [];
    this.meta = {};
    this.error = null;
    this.state = "idle";
  }

  get stale() {
    return Boolean(this.meta.stale) || (this.error !== null && this.rows.length > 0);
  }

  /** Ask for `src` from now on; null asks nobody. */
  start(src) {
    this.stop();
    this.#src = src;
    this.#etag = null;
    Object.assign(this, { rows: [], meta: {}, error: null, state: src ? "loading" : "idle" });
    this.changed();
    if (!src) return;
    live.add(this);
    document.addEventListener("visibilitychange", this.#again);
    this.refresh();
  }

  stop() {
    live.delete(this);
    document.removeEventListener("visibilitychange", this.#again);
    clearTimeout(this.#timer);
    this.#asking?.abort();
    this.#asking = null;
  }

  restart() {
    this.start(this.#src);
  }

  /** Ask now. A question under way is given up: the newest answer counts. */
  async refresh() {
    clearTimeout(this.#timer);
    this.#asking?.abort();
    const mine = (this.#asking = new AbortController());
    if (!this.rows.length && this.state !== "loading") {
      this.state = "loading";
      this.changed();
    }
    let wait = 0;
    try {
      if (await this.#take(mine.signal)) this.changed();
    } catch (failure) {
      if (mine.signal.aborted) return;
      this.error = failure instanceof LookupError ? failure : unreachable();
      this.state = this.rows.length ? "ready" : "error";
      wait = Math.min(Number(this.error.detail.retry_after) || 0, LONGEST_WAIT);
      this.changed();
    }
    if (this.#asking === mine) this.#schedule(wait);
  }

  /** Take one answer; whether it changed anything. */
  async #take(signal) {
    const { base, token } = this.#settings();
    const response = await ask(lookupUrl(this.#src, base), token, this.#etag, signal);
    if (response.status === 304) {
      const mended = this.error !== null;
      this.error = null;
      return mended;
    }
    if (!response.ok) throw await failureOf(response);
    const body = await response.json();
    if (signal.aborted) return false;
    this.#etag = response.headers.get("ETag");
    Object.assign(this, { rows: body.data ?? [], meta: body.meta ?? {}, error: null, state: "ready" });
    return true;
  }

  #schedule(wait) {
    const { poll } = this.#settings();
    if (poll > 0) this.#timer = setTimeout(this.#again, Math.max(poll, wait) * 1000);
  }

  #settings() {
    const own = this.options();
    return {
      base: own.base ?? settings.base,
      token: own.token ?? settings.token,
      poll: Number.isFinite(own.poll) ? own.poll : settings.poll,
    };
  }
}
