/** <scai-lookup-picker>: one lookup as a combobox, after the ARIA 1.2 pattern with a list that filters. */

import { Field } from "./picker-field.js";
import { List } from "./picker-list.js";
import { anyOption, matching, optionsOf, valuesOf } from "./picker-rows.js";
import { Source } from "./picker-source.js";
import { icon, make } from "./picker-style.js";

const PAGE = 10;

export class LookupPicker extends Field {
  static observedAttributes = [...Field.observedAttributes, "src", "base", "poll", "filter-by", "filter-value"];
  static word = "Choose one";
  #query = null; // null: nobody is searching, the input shows what is chosen
  #options = [];
  #found = 0;
  #source;
  #list;
  #ui;
  #token = null;

  constructor() {
    super();
    this.#list = new List((one) => this.#pick(one));
    this.#ui = this.#build();
    const own = () => ({
      base: this.getAttribute("base") ?? undefined,
      token: this.#token ?? undefined,
      poll: this.hasAttribute("poll") ? Number(this.getAttribute("poll")) : undefined,
    });
    this.#source = new Source(own, () => this.#loaded());
    this.keep("");
  }

  /** The token, or a function ({renew}) that gives one, at once or later; it wins over configure's. */
  get token() {
    return this.#token;
  }
  set token(token) {
    this.#token = token;
    if (this.isConnected) this.refresh();
  }
  get src() {
    return this.getAttribute("src") ?? this.constructor.src ?? "";
  }
  set src(src) {
    this.setAttribute("src", src);
  }
  get rows() {
    return this.#source.rows;
  }
  /** The row that is chosen, null while it is not known. */
  get row() {
    return this.#chosen?.row ?? null;
  }
  get error() {
    return this.#source.error;
  }
  get anchor() {
    return this.#ui?.input;
  }
  get #chosen() {
    return this.#options.find((one) => one.value === this.value) ?? null;
  }
  get filterBy() {
    return this.getAttribute("filter-by") ?? this.constructor.filterBy ?? "";
  }

  /** Ask again now. */
  refresh() {
    this.#source.start(this.src || null);
  }
  optionOf(row) {
    return anyOption(row, { key: this.getAttribute("key"), groupBy: this.getAttribute("group-by") });
  }
  /** The value of the filter that the page fixed, "" when people may choose. */
  fixedFilter() {
    return this.getAttribute("filter-value") ?? "";
  }

  connectedCallback() {
    this.refresh();
  }
  disconnectedCallback() {
    this.#source.stop();
    this.#close();
  }
  attributeChangedCallback(name, before, after) {
    super.attributeChangedCallback(name, before, after);
    if (["src", "base", "poll"].includes(name) && before !== after && this.isConnected) this.refresh();
  }

  #build() {
    const input = make("input", {
      id: "input", type: "text", role: "combobox", part: "input", autocomplete: "off", spellcheck: false,
      "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": "list", "aria-describedby": "status",
    });
    const label = make("label", { htmlFor: "input", part: "label" });
    const clear = make("button", { type: "button", className: "icon", part: "clear", tabIndex: -1 }, icon("M4 4l8 8M12 4l-8 8"));
    const toggle = make("button", { type: "button", className: "icon", part: "toggle", tabIndex: -1 }, icon("M4 6l4 4 4-4"));
    clear.setAttribute("aria-label", "Clear");
    toggle.setAttribute("aria-label", "Show what there is");
    const control = make("div", { className: "control", part: "control" }, input, clear, toggle);
    const filter = make("select", { part: "filter" });
    const status = make("div", { id: "status", role: "status", className: "status", part: "status" });
    const error = make("div", { role: "alert", className: "error", part: "error", hidden: true });
    const row = make("div", { className: "row" }, control, filter);
    const anchor = make("div", { className: "anchor" }, row, this.#list.popup);
    this.shadowRoot.append(label, anchor, status, error);
    input.addEventListener("input", () => this.#search(input.value));
    input.addEventListener("keydown", (event) => this.#key(event));
    input.addEventListener("click", () => this.#open());
    input.addEventListener("blur", () => this.#leave());
    toggle.addEventListener("click", () => this.#toggle());
    clear.addEventListener("click", () => this.#clear());
    for (const button of [toggle, clear]) button.addEventListener("pointerdown", (event) => event.preventDefault());
    filter.addEventListener("change", () => this.show());
    return { input, label, clear, toggle, control, filter, status, error };
  }

  #loaded() {
    this.#options = optionsOf(this.#source.rows, (row) => this.optionOf(row));
    this.show();
    const failed = this.#source.error;
    const event = failed ? "scai-error" : this.#source.state === "ready" ? "scai-load" : null;
    const detail = failed ? failed.detail : { rows: this.rows.length, meta: this.#source.meta };
    if (event) this.dispatchEvent(new CustomEvent(event, { bubbles: true, detail }));
  }

  /** Bring everything that is seen in line with what is known. */
  show() {
    if (!this.#ui) return;
    const { input, label, clear, toggle, control } = this.#ui;
    const own = this.getAttribute("label");
    label.textContent = own ?? "";
    label.hidden = !own;
    if (own) input.removeAttribute("aria-label");
    else input.setAttribute("aria-label", this.calledAs);
    this.#list.list.setAttribute("aria-label", this.calledAs);
    input.placeholder = this.getAttribute("placeholder") ?? (this.#source.state === "loading" ? "Loading…" : "Search or choose");
    input.disabled = toggle.disabled = clear.disabled = this.#ui.filter.disabled = this.disabled;
    input.setAttribute("aria-required", String(this.required));
    if (this.#query === null) input.value = this.#chosen?.label ?? this.value;
    const gone = this.value !== "" && !this.#chosen && this.#source.state === "ready";
    input.classList.toggle("gone", gone);
    clear.hidden = !this.value && !this.#query;
    const wrong = this.reported && !this.validity.valid;
    input.setAttribute("aria-invalid", String(wrong));
    control.classList.toggle("invalid", wrong || gone);
    this.internals.ariaBusy = String(this.#source.state === "loading");
    this.#showFilter();
    this.#showList();
    this.#showStatus(gone);
    this.#showError();
  }

  #showFilter() {
    const { filter } = this.#ui;
    const values = this.filterBy && !this.fixedFilter() ? valuesOf(this.#options, this.filterBy) : [];
    filter.hidden = values.length < 2;
    const names = ["", ...values];
    if (names.join("\n") === [...filter.options].map((one) => one.value).join("\n")) return;
    const before = filter.value;
    const word = this.filterBy.replaceAll("_", " ");
    filter.setAttribute("aria-label", `Only of one ${word}`);
    filter.replaceChildren(...names.map((value) => make("option", { value }, value || `Any ${word}`)));
    filter.value = names.includes(before) ? before : "";
  }

  #showList() {
    if (this.#list.open) {
      const only = this.fixedFilter() || this.#ui.filter.value;
      const found = matching(this.#options, this.#query ?? "", this.filterBy, only);
      this.#list.fill(found, this.value, found.length ? "" : this.#emptyWord());
      this.#found = found.length;
      if (this.#query && !this.#list.active) this.#list.activate(0); // rows may come after the typing
    }
    this.#point();
  }

  #emptyWord() {
    if (this.#source.state === "loading") return "Loading…";
    if (this.#source.state === "error") return "The list could not be had.";
    if (this.#source.state === "idle") return "Nothing to choose from yet.";
    return this.#query ? `Nothing matches “${this.#query}”.` : "There is nothing to choose from.";
  }

  #showStatus(gone) {
    const { status } = this.#ui;
    const { state, error, meta } = this.#source;
    const parts = [];
    if (this.#list.open && this.#query) parts.push(`${this.#found} found.`);
    else if (gone) parts.push("What was chosen is no longer offered.");
    else if (this.#chosen) parts.push([this.#chosen.concern, ...this.#chosen.details].filter(Boolean).join(" · "));
    else if (state === "ready" && !this.rows.length) parts.push("There is nothing to choose from.");
    if (this.#source.stale) parts.push(error ? "An older list is shown: asking again failed." : "An older list is shown.");
    if (meta.truncated) parts.push("There would be more than was read.");
    status.textContent = parts.filter(Boolean).join(" ");
    status.classList.toggle("warn", gone || this.#source.stale || Boolean(this.#chosen?.concern));
  }

  #showError() {
    const { error: box } = this.#ui;
    const failed = this.#source.state === "error" ? this.#source.error : null;
    box.hidden = !failed;
    if (!failed) return box.replaceChildren();
    const retry = make("button", { type: "button", className: "retry", part: "retry" }, "Try again");
    retry.addEventListener("click", () => {
      this.#ui.input.focus(); // the button goes away while the answer is awaited
      this.refresh();
    });
    box.replaceChildren(
      make("p", { className: "message", part: "error-message" }, failed.detail.message),
      make("p", { className: "fix", part: "error-fix" }, failed.detail.fix ?? ""),
      retry,
    );
  }

  /** Tell assistive technology what is open and what is active. */
  #point() {
    const { input } = this.#ui;
    input.setAttribute("aria-expanded", String(this.#list.open));
    const id = this.#list.open ? this.#list.activeId : null;
    id ? input.setAttribute("aria-activedescendant", id) : input.removeAttribute("aria-activedescendant");
  }

  #open() {
    if (this.disabled || this.#list.open) return;
    this.#list.open = true;
    this.show();
    this.#list.activateValue(this.value);
    this.#point();
  }
  #close() {
    this.#query = null;
    this.#list.open = false;
    this.show();
  }
  #toggle() {
    this.#ui.input.focus();
    this.#list.open ? this.#close() : this.#open();
  }
  #search(text) {
    this.#query = text;
    this.#list.open = true;
    this.show();
    if (text) this.#list.activate(0);
    this.#point();
  }
  #pick(one) {
    this.#query = null;
    this.#list.open = false;
    this.choose(one.value);
    this.show();
  }
  #clear() {
    this.choose("");
    this.#ui.input.focus();
    this.#close();
  }
  /** Leaving an emptied input clears the value; leaving a search half typed changes nothing. */
  #leave() {
    const emptied = this.#query === "";
    this.#close();
    if (emptied) this.choose("");
    this.show();
  }

  #key(event) {
    if (event.isComposing || event.ctrlKey || event.metaKey) return;
    const open = this.#list.open;
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: PAGE, PageUp: -PAGE };
    if (event.key === "Escape") {
      if (open) this.#close();
      else if (this.value || this.#ui.input.value) this.#clear();
      else return;
    } else if (event.altKey && event.key === "ArrowUp") this.#close();
    else if (event.altKey && event.key === "ArrowDown") this.#open();
    else if (event.key in steps && !event.altKey) {
      if (open || steps[event.key] > 0 || event.key === "ArrowUp") this.#step(steps[event.key], open);
    } else if (event.key === "Enter" && open) {
      const one = this.#list.active;
      one ? this.#pick(one) : this.#close();
    } else return;
    event.preventDefault();
  }

  #step(step, wasOpen) {
    this.#open();
    if (wasOpen || !this.#list.active) this.#list.move(step);
    this.#point();
  }
}
