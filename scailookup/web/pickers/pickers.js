/**
 * Pickers for canvases: custom elements over the lookups of scailookup. No dependencies, no build step.
 *
 *   <scai-model-picker name="model" required></scai-model-picker>
 *
 * See docs/pickers.md, and pickers.d.ts for the types.
 */

import { LookupPicker } from "./picker-lookup.js";
import { QueuePicker } from "./picker-queue.js";
import { bunkerOption, modelOption } from "./picker-rows.js";
import { configure, LookupError } from "./picker-source.js";

/** <scai-model-picker>: the models of ScaiGrid; `modality` keeps one kind. */
export class ModelPicker extends LookupPicker {
  static observedAttributes = [...LookupPicker.observedAttributes, "modality"];
  static word = "Model";
  static src = "scaigrid/models";
  static filterBy = "modality";
  optionOf(row) {
    return modelOption(row);
  }
  fixedFilter() {
    return this.getAttribute("modality") ?? super.fixedFilter();
  }
}

/** <scai-bunker-picker>: the active bunkers of ScaiBunker. */
export class BunkerPicker extends LookupPicker {
  static word = "Bunker";
  static src = "scaibunker/bunkers";
  static filterBy = "status";
  optionOf(row) {
    return bunkerOption(row);
  }
}

const ELEMENTS = {
  "scai-lookup-picker": LookupPicker,
  "scai-model-picker": ModelPicker,
  "scai-queue-picker": QueuePicker,
  "scai-bunker-picker": BunkerPicker,
};
for (const [name, element] of Object.entries(ELEMENTS)) {
  if (!customElements.get(name)) customElements.define(name, element);
}

export { configure, LookupError, LookupPicker, QueuePicker };
