/** What pickers look like. Every colour and measure is a custom property; every piece is a part. */

const CSS = `
:host {
  --_accent: var(--scai-accent, #0b62d6);
  --_text: var(--scai-text, light-dark(#1b1f27, #e8eaf0));
  --_quiet: var(--scai-quiet, light-dark(#596072, #a3abbc));
  --_field: var(--scai-field, light-dark(#ffffff, #14171e));
  --_raised: var(--scai-raised, light-dark(#ffffff, #1c2029));
  --_line: var(--scai-line, light-dark(#c3c9d6, #424a5b));
  --_hover: var(--scai-hover, light-dark(#edf3fd, #263047));
  --_danger: var(--scai-danger, light-dark(#b3261e, #ff9a92));
  --_warn: var(--scai-warn, light-dark(#8a5300, #f0b95c));
  --_radius: var(--scai-radius, 8px);
  display: block;
  position: relative;
  min-width: 0;
  font: var(--scai-font, 400 0.9375rem/1.45 system-ui, sans-serif);
  color: var(--_text);
  color-scheme: inherit;
}
:host([hidden]), [hidden] { display: none !important; }
* { box-sizing: border-box; }
label { display: block; margin-bottom: 0.3em; font-weight: 550; }
.row { display: flex; gap: 0.5em; }
.control {
  position: relative; display: flex; flex: 1; min-width: 0; align-items: center;
  background: var(--_field); border: 1px solid var(--_line); border-radius: var(--_radius);
}
.control:focus-within { outline: 2px solid var(--_accent); outline-offset: 1px; border-color: transparent; }
.control.invalid { border-color: var(--_danger); }
input, select, button { font: inherit; color: inherit; }
input {
  flex: 1; min-width: 0; padding: 0.55em 0.75em; background: none; border: 0; outline: 0; text-overflow: ellipsis;
}
input::placeholder { color: var(--_quiet); opacity: 1; }
input.gone { color: var(--_quiet); text-decoration: line-through; }
select {
  max-width: 9.5em; padding: 0.45em 0.6em; background: var(--_field);
  border: 1px solid var(--_line); border-radius: var(--_radius);
}
select:focus-visible, .retry:focus-visible { outline: 2px solid var(--_accent); outline-offset: 1px; }
.icon {
  display: grid; place-items: center; width: 2em; align-self: stretch; padding: 0;
  background: none; border: 0; color: var(--_quiet); cursor: pointer;
}
.icon svg { width: 1em; height: 1em; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; }
.popup {
  position: absolute; z-index: var(--scai-z-index, 1000); inset-inline: 0; margin-top: 4px; overflow: hidden;
  background: var(--_raised); border: 1px solid var(--_line); border-radius: var(--_radius);
  box-shadow: 0 8px 28px rgb(10 16 30 / 0.18);
}
.list { max-height: var(--scai-list-height, 20em); margin: 0; padding: 4px; overflow-y: auto; overscroll-behavior: contain; }
.group { padding: 0.7em 0.6em 0.25em; font-size: 0.8em; font-weight: 600; color: var(--_quiet); }
.option { padding: 0.45em 0.6em; border-radius: calc(var(--_radius) - 3px); cursor: pointer; }
.option.active { background: var(--_hover); box-shadow: inset 2px 0 var(--_accent); }
.option[aria-selected="true"] .name { font-weight: 650; }
.option[aria-selected="true"] .name::after { content: " ✓" / ""; color: var(--_accent); }
.option.concern .name { color: var(--_quiet); }
.name { overflow-wrap: anywhere; }
.details { font-size: 0.82em; color: var(--_quiet); overflow-wrap: anywhere; }
.badge { margin-inline-start: 0.25em; font-size: 0.8em; color: var(--_warn); }
.note { padding: 0.5em 0.8em; font-size: 0.85em; color: var(--_quiet); border-top: 1px solid var(--_line); }
.list:empty + .note { border-top: 0; }
.status { min-height: 1.4em; margin-top: 0.3em; font-size: 0.85em; color: var(--_quiet); overflow-wrap: anywhere; }
.status.warn { color: var(--_warn); }
.error {
  margin-top: 0.4em; padding: 0.65em 0.8em; font-size: 0.9em; overflow-wrap: anywhere;
  border: 1px solid var(--_danger); border-radius: var(--_radius);
}
.error p { margin: 0 0 0.35em; }
.message { font-weight: 600; color: var(--_danger); }
.retry {
  padding: 0.3em 0.9em; cursor: pointer; background: none;
  border: 1px solid currentColor; border-radius: calc(var(--_radius) - 2px);
}
:host(:disabled) { opacity: 0.6; }
.pair { display: grid; gap: 0.75em; }
@media (forced-colors: active) { .option.active { outline: 2px solid Highlight; } }
`;

let sheet = null;

/** The one style sheet of all pickers; made so that a page's policy on inline styles does not touch it. */
export function styles() {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
  }
  return [sheet];
}

const SVG = "http://www.w3.org/2000/svg";

/** An element with properties and children; no markup is ever parsed. */
export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node && !name.startsWith("aria-")) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

export function icon(path) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}
