/**
 * A gauge: a value with its name, as a bar and as a curve of the last hour.
 * @module
 */

import { drawn, element, setAttribute, setText } from "./dom.js";
import { range, UNKNOWN } from "./format.js";

const WIDTH = 100;
const HEIGHT = 24;
const SPAN_SECONDS = 3600;
const GAP_INTERVALS = 3;
const POINT_SECONDS = 30;

/**
 * @typedef {object} Part of a bar
 * @property {number} ratio of the whole bar
 * @property {string} style CSS class
 */

/**
 * @typedef {object} Curve
 * @property {number[]} times in seconds
 * @property {(number | null)[]} values null if unknown
 * @property {number} most value at the top
 * @property {number} now in seconds
 * @property {number} interval between collections, in seconds
 * @property {(value: number | null) => string} show
 */

/** One row of a GPU's card. */
export class Gauge {
  /** @param {string} label */
  constructor(label) {
    this.label = label;
    this.name = label;
    this.bar = element("div", { class: "bar", role: "meter", "aria-valuemin": 0, "aria-valuemax": 100 });
    this.value = element("span", { class: "value" });
    this.path = drawn("path");
    this.spark = drawn("svg", { class: "spark", role: "img", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none" },
      drawn("line", { x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT }), this.path);
    this.range = element("span", { class: "range", "aria-hidden": "true" }); // the label of the curve has it
    this.node = element("div", { class: "gauge" }, element("span", { class: "label" }, label), this.bar, this.value,
      element("div", { class: "hour" }, this.spark, this.range));
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

  /**
   * Draw the curve of the last hour.
   * @param {Curve} curve
   */
  draw(curve) {
    setAttribute(this.path, "d", outline(curve));
    const known = /** @type {number[]} */ (curve.values.filter((value) => value !== null));
    const [least, most] = [Math.min(...known), Math.max(...known)].map((value) => known.length ? curve.show(value) : UNKNOWN);
    const inWords = `${this.name} in the last hour: ${known.length ? `${least} to ${most}` : "unknown"}`;
    setAttribute(this.spark, "aria-label", inWords);
    setText(this.range, range(least, most));
    setAttribute(this.range, "title", inWords);
  }
}

/**
 * Return the curve as an SVG path; unknown values are gaps.
 * @param {Curve} curve
 */
function outline({ times, values, most, now, interval }) {
  const gap = GAP_INTERVALS * Math.max(interval, POINT_SECONDS);
  let path = "";
  /** @type {number | null} */
  let before = null;
  times.forEach((time, place) => {
    const value = values[place] ?? null;
    if (value === null) {
      before = null;
      return;
    }
    const x = Math.max(0, WIDTH * (1 - (now - time) / SPAN_SECONDS));
    const y = HEIGHT - 1 - Math.max(0, Math.min(1, value / most)) * (HEIGHT - 2);
    path += before !== null && time - before <= gap ? "L" : "M";
    path += `${x.toFixed(1)} ${y.toFixed(1)}`;
    before = time;
  });
  return path;
}
