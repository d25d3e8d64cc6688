/** Asking the service: every answer comes with what is to be shown of it. */

import { session } from "./session.js";

export const API = new URL("../api/v1/", import.meta.url).href;

/**
 * Ask for `url`. Never throws: an answer that cannot be had has `status` 0 and a `detail` of ours.
 * {status, ok, json, text, size, ms, header(name), detail, url}
 */
export async function ask(url, { method = "GET", body } = {}) {
  const headers = { Accept: "application/json" };
  if (session.token) headers.Authorization = `Bearer ${session.token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const sent = body === undefined ? undefined : JSON.stringify(body);
  const started = performance.now();
  let response = null;
  let text = "";
  try {
    response = await fetch(url, { method, headers, body: sent, cache: "no-store", credentials: "omit", redirect: "error" });
    text = await response.text();
  } catch {
    response = null;
  }
  const json = parsed(text);
  return {
    url: String(url),
    status: response?.status ?? 0,
    ok: response?.ok ?? false,
    json,
    text,
    size: new Blob([text]).size,
    ms: performance.now() - started,
    header: (name) => response?.headers.get(name) ?? "",
    detail: response?.ok ? null : (json?.detail ?? wordless(response)),
  };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function wordless(response) {
  if (!response) {
    return {
      error: "unreachable",
      message: "The service cannot be reached from this page.",
      fix: "Check the connection and try again; if it stays, the operator must see whether the service runs.",
    };
  }
  return {
    error: `http_${response.status}`,
    message: `The service answered ${response.status} without saying why.`,
    fix: "The operator must look at what stands before the service.",
  };
}

/** Who must act, out of the fix that the service gave. */
export function whoActs(detail) {
  const fix = detail.fix ?? "";
  if (detail.error === "forbidden" || /tenant_admin must|^Caller needs/.test(fix)) return "A tenant admin";
  if (/^Sign in|^Check the ids|^Send|^Use one/.test(fix) && !/tenant_admin/.test(fix)) return "You";
  if (/tenant_admin/.test(fix)) return "You, or a tenant admin";
  if (/^(Try again|Wait|Check the connection)/.test(fix)) return "You may wait; then the operator";
  return /operator/.test(fix) ? "The operator" : "You";
}
