/** The list that drops down: options in groups, one of them active. Bounded, however many rows there are. */

import { make } from "./picker-style.js";

export const MOST = 100;

export class List {
  #shown = [];
  #nodes = [];
  #active = -1;

  constructor(choose) {
    this.list = make("div", { id: "list", role: "listbox", className: "list", part: "list" });
    this.note = make("div", { className: "note", part: "note" });
    this.popup = make("div", { className: "popup", part: "popup", hidden: true }, this.list, this.note);
    // A press must not take the focus from the input, or the list would close before the click.
    this.popup.addEventListener("pointerdown", (event) => event.preventDefault());
    this.list.addEventListener("click", (event) => {
      const at = this.#nodes.indexOf(event.target.closest("[role=option]"));
      if (at >= 0) choose(this.#shown[at]);
    });
  }

  get open() {
    return !this.popup.hidden;
  }
  set open(open) {
    this.popup.hidden = !open;
    if (!open) this.activate(-1);
  }
  get active() {
    return this.#shown[this.#active] ?? null;
  }
  get activeId() {
    return this.#nodes[this.#active]?.id ?? null;
  }

  /** Show the first of `options`; `say` is the note when there is more to say than they do. */
  fill(options, selected, say = "") {
    const kept = this.active?.value;
    this.#shown = options.slice(0, MOST);
    this.#nodes = this.#shown.map((one, at) => optionNode(one, at, one.value === selected));
    this.list.replaceChildren(...this.#grouped());
    const more = options.length - this.#shown.length;
    this.note.textContent = more > 0 ? `The first ${MOST} of ${options.length}. Type to narrow.` : say;
    this.note.hidden = !this.note.textContent;
    this.list.hidden = this.#shown.length === 0;
    this.activate(kept === undefined ? -1 : this.#shown.findIndex((one) => one.value === kept));
  }

  #grouped() {
    const pieces = [];
    let group = null;
    this.#shown.forEach((one, at) => {
      if (!one.group) {
        group = null;
        pieces.push(this.#nodes[at]);
        return;
      }
      if (group?.name !== one.group) {
        const id = `group-${at}`;
        const title = make("div", { id, className: "group", part: "group", role: "presentation" }, one.group);
        group = { name: one.group, node: make("div", { role: "group", "aria-labelledby": id }, title) };
        pieces.push(group.node);
      }
      group.node.append(this.#nodes[at]);
    });
    return pieces;
  }

  /** Make the option at `at` the active one; -1 for none. */
  activate(at) {
    this.#nodes[this.#active]?.classList.remove("active");
    this.#active = at >= 0 && at < this.#nodes.length ? at : -1;
    const node = this.#nodes[this.#active];
    node?.classList.add("active");
    node?.scrollIntoView({ block: "nearest" });
  }

  /** Move by `step`; a single step past an end comes back at the other, a long one stops there. */
  move(step) {
    const last = this.#nodes.length - 1;
    if (last < 0) return;
    if (this.#active < 0) return this.activate(step > 0 ? 0 : last);
    const to = this.#active + step;
    if (Math.abs(step) === 1) return this.activate(to < 0 ? last : to > last ? 0 : to);
    this.activate(Math.min(last, Math.max(0, to)));
  }

  /** Make the option with `value` active, if it is shown. */
  activateValue(value) {
    this.activate(this.#shown.findIndex((one) => one.value === value));
  }
}

function optionNode(one, at, selected) {
  const name = make("div", { className: "name" }, one.label);
  if (one.concern) name.append(" ", make("span", { className: "badge", part: "badge" }, one.concern));
  const node = make("div", {
    id: `option-${at}`,
    role: "option",
    className: one.concern ? "option concern" : "option",
    part: one.concern ? "option option-concern" : "option",
    "aria-selected": String(selected),
  });
  node.append(name);
  if (one.details.length) node.append(make("div", { className: "details", part: "details" }, one.details.join(" · ")));
  return node;
}
