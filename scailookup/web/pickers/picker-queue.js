/** <scai-queue-picker>: a scope, then a queue of it. The value is the queue's id. */

import { Field } from "./picker-field.js";
import { LookupPicker } from "./picker-lookup.js";
import { queueOption } from "./picker-rows.js";
import { make } from "./picker-style.js";

class Queues extends LookupPicker {
  static word = "Queue";
  static filterBy = "consumer_mode";
  optionOf(row) {
    return queueOption(row);
  }
}
if (!customElements.get("scai-queue-picker-queues")) customElements.define("scai-queue-picker-queues", Queues);

export class QueuePicker extends Field {
  static observedAttributes = [...Field.observedAttributes, "scope", "base", "poll", "disabled"];
  static word = "Queue";
  #scopes;
  #queues;

  constructor() {
    super();
    this.#scopes = make("scai-lookup-picker", { part: "scope" });
    this.#queues = make("scai-queue-picker-queues", { part: "queue" });
    const parts = "label control input clear toggle filter popup list group option details badge note status error retry";
    for (const picker of [this.#scopes, this.#queues]) {
      picker.setAttribute("exportparts", parts.replaceAll(" ", ", "));
    }
    this.#scopes.setAttribute("src", "scaiqueue/scopes");
    this.#scopes.setAttribute("label", "Scope");
    this.#scopes.addEventListener("change", (event) => {
      event.stopPropagation();
      this.#to(this.#scopes.value);
      this.choose(""); // a queue of another scope is no longer meant
      this.keep("");
    });
    this.#queues.addEventListener("change", (event) => {
      event.stopPropagation();
      this.choose(this.#queues.value);
    });
    for (const picker of [this.#scopes, this.#queues]) {
      picker.addEventListener("input", (event) => event.stopPropagation());
      for (const name of ["scai-load", "scai-error"]) {
        picker.addEventListener(name, (event) => {
          this.dispatchEvent(new CustomEvent(name, { bubbles: true, detail: event.detail }));
        });
      }
    }
    this.shadowRoot.append(make("div", { className: "pair", part: "pair" }, this.#scopes, this.#queues));
    this.keep("");
  }

  /** The scope's id, "" while none is chosen. */
  get scope() {
    return this.#scopes.value;
  }
  set scope(scope) {
    this.#scopes.value = scope;
    this.#to(this.#scopes.value);
    this.keep("");
  }
  get token() {
    return this.#queues.token;
  }
  set token(token) {
    this.#scopes.token = this.#queues.token = token;
  }
  get row() {
    return this.#queues.row;
  }
  get rows() {
    return this.#queues.rows;
  }
  get error() {
    return this.#scopes.error ?? this.#queues.error;
  }
  get anchor() {
    return this.#queues;
  }

  refresh() {
    this.#scopes.refresh();
    this.#queues.refresh();
  }

  /** The queue under `name`, and the scope under `scope-name` when that is given. */
  formValue() {
    const scopeName = this.getAttribute("scope-name");
    if (!scopeName || !this.name) return this.value;
    const both = new FormData();
    both.append(this.name, this.value);
    both.append(scopeName, this.scope);
    return both;
  }

  attributeChangedCallback(name, before, after) {
    super.attributeChangedCallback(name, before, after);
    if (before === after) return;
    if (name === "scope") {
      this.#scopes.setAttribute("value", after ?? "");
      this.#to(this.#scopes.value);
      this.keep(this.value);
    }
    if (name === "base" || name === "poll") {
      for (const picker of [this.#scopes, this.#queues]) {
        after === null ? picker.removeAttribute(name) : picker.setAttribute(name, after);
      }
    }
  }
  formResetCallback() {
    this.#scopes.keep(this.getAttribute("scope"));
    this.#to(this.#scopes.value);
    super.formResetCallback();
  }

  #to(scope) {
    const src = scope ? `scaiqueue/scopes/${encodeURIComponent(scope)}/queues` : "";
    if (this.#queues.src !== src) this.#queues.src = src;
  }

  show() {
    const queues = this.#queues;
    queues.setAttribute("label", this.getAttribute("label") ?? "Queue");
    queues.setAttribute("placeholder", this.scope ? "Search or choose" : "Choose a scope first");
    queues.toggleAttribute("required", this.required);
    this.#scopes.disabled = this.disabled;
    queues.disabled = this.disabled || !this.scope;
    if (queues.value !== this.value) queues.value = this.value;
  }
}
