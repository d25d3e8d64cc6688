/** What every picker is to a form: a field with a name, a value, validity, reset and disabled. */

import { styles } from "./picker-style.js";

export class Field extends HTMLElement {
  static formAssociated = true;
  static observedAttributes = ["label", "placeholder", "required", "value"];
  #value = "";
  #touched = false; // once somebody chose, the attribute no longer decides

  constructor() {
    super();
    this.internals = this.attachInternals();
    this.attachShadow({ mode: "open", delegatesFocus: true });
    this.shadowRoot.adoptedStyleSheets = styles();
    this.reported = false; // whether the form has complained: only then is the field shown as wrong
    this.addEventListener("invalid", () => {
      this.reported = true;
      this.show?.();
    });
  }

  get value() {
    return this.#value;
  }
  set value(value) {
    this.#touched = true;
    this.keep(value);
  }
  get name() {
    return this.getAttribute("name") ?? "";
  }
  set name(name) {
    this.setAttribute("name", name);
  }
  get required() {
    return this.hasAttribute("required");
  }
  set required(required) {
    this.toggleAttribute("required", Boolean(required));
  }
  get disabled() {
    return this.matches(":disabled");
  }
  set disabled(disabled) {
    this.toggleAttribute("disabled", Boolean(disabled));
  }
  get type() {
    return this.localName;
  }
  get form() {
    return this.internals.form;
  }
  get validity() {
    return this.internals.validity;
  }
  get validationMessage() {
    return this.internals.validationMessage;
  }
  get willValidate() {
    return this.internals.willValidate;
  }
  checkValidity() {
    return this.internals.checkValidity();
  }
  reportValidity() {
    return this.internals.reportValidity();
  }

  /** What it is called: the label attribute, else the page's own <label>, else a word of ours. */
  get calledAs() {
    const labels = [...(this.internals.labels ?? [])].map((label) => label.textContent.trim());
    return this.getAttribute("label") || this.getAttribute("aria-label") || labels.join(" ") || this.constructor.word;
  }

  /** Take a value in, tell the form, and show it. */
  keep(value) {
    this.#value = value === null || value === undefined ? "" : String(value);
    this.internals.setFormValue(this.formValue());
    this.judge();
    this.show?.();
  }

  formValue() {
    return this.#value;
  }

  /** Validity as it is now; `anchor` is what the browser points its message at. */
  judge() {
    const anchor = this.anchor;
    if (!anchor) return;
    const missing = this.required && !this.#value;
    this.internals.setValidity(missing ? { valueMissing: true } : {}, missing ? "Please choose one." : "", anchor);
  }

  /** Keep what a person chose and say so, as a native field would. */
  choose(value) {
    this.#touched = true;
    if (value === this.#value) return;
    this.keep(value);
    this.dispatchEvent(new Event("input", { bubbles: true, composed: true }));
    this.dispatchEvent(new Event("change", { bubbles: true }));
  }

  attributeChangedCallback(name, before, after) {
    if (before === after) return;
    if (name === "value" && !this.#touched) this.keep(after);
    this.judge();
    this.show?.();
  }
  formResetCallback() {
    this.#touched = this.reported = false;
    this.keep(this.getAttribute("value"));
  }
  formStateRestoreCallback(state) {
    if (typeof state === "string") this.value = state;
  }
  formDisabledCallback() {
    this.show?.();
  }
}
