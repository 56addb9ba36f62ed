/**
 * A gauge: a value with its name, as a bar.
 * @module
 */

import { element, setAttribute, setText } from "./dom.js";

/**
 * @typedef {object} Part of a bar
 * @property {number} ratio of the whole bar
 * @property {string} style CSS class
 */

/** One row of a GPU's card. */
export class Gauge {
  /** @param {string} label */
  constructor(label) {
    this.label = label;
    this.name = label;
    this.bar = element("div", { class: "bar", role: "meter", "aria-valuemin": 0, "aria-valuemax": 100 });
    this.value = element("span", { class: "value" });
    this.node = element("div", { class: "gauge" }, element("span", { class: "label" }, label), this.bar, this.value);
  }

  /**
   * Set the accessible name; it includes the GPU, as each card has the same gauges.
   * @param {string} device
   */
  setDevice(device) {
    this.name = `${this.label} of ${device}`;
    setAttribute(this.bar, "aria-label", this.name);
  }

  /**
   * Show a value.
   * @param {string} text
   * @param {Part[] | null} parts null if unknown
   * @param {boolean} high whether the value is too high
   */
  update(text, parts, high) {
    const whole = Math.min(1, (parts ?? []).reduce((sum, part) => sum + part.ratio, 0));
    setText(this.value, text);
    setAttribute(this.bar, "aria-valuenow", Math.round(whole * 100));
    setAttribute(this.bar, "aria-valuetext", parts ? text : "unknown");
    this.bar.classList.toggle("high", high);
    while (this.bar.children.length > (parts ?? []).length) this.bar.lastElementChild?.remove();
    (parts ?? []).forEach((part, place) => {
      const piece = /** @type {HTMLElement} */ (this.bar.children[place] ?? this.bar.appendChild(element("span")));
      piece.className = part.style;
      piece.style.width = `${Math.max(0, Math.min(1, part.ratio)) * 100}%`;
    });
  }
}
