/**
 * A curve with axes. The pointer, or the arrow keys, show the value at a time.
 * @module
 */

import { drawn, element, setAttribute, setContent, setText } from "./dom.js";
import { clock, UNKNOWN } from "./format.js";

const WIDTH = 600;
const HEIGHT = 100;
const GAP_INTERVALS = 3;
const TICKS = 4;

/**
 * @typedef {object} Curve
 * @property {number[]} times in seconds
 * @property {(number | null)[]} values null if unknown
 * @property {number} most value at the top
 * @property {number} now in seconds
 * @property {number} span of the axis, in seconds
 * @property {number} step usual time between two points, in seconds
 * @property {(value: number | null) => string} show
 */

/** A curve of one quantity of a GPU. */
export class Chart {
  /** @param {string} label */
  constructor(label) {
    this.label = label;
    /** @type {Curve | null} */
    this.curve = null;
    /** @type {number | null} */
    this.place = null;
    this.path = drawn("path", { class: "curve" });
    this.pointer = drawn("line", { class: "pointer", y1: 0, y2: HEIGHT });
    this.plot = element("div", { class: "plot", role: "slider", tabindex: 0, "aria-valuemin": 0 },
      drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
        ...[0, HEIGHT / 2, HEIGHT].map((y) => drawn("line", { class: "grid", x1: 0, x2: WIDTH, y1: y, y2: y })), this.path, this.pointer));
    this.value = element("span", { class: "value" });
    this.most = element("span");
    this.axis = element("div", { class: "axis", "aria-hidden": "true" });
    this.node = element("figure", { class: "chart" },
      element("figcaption", {}, element("span", {}, label), this.value),
      element("div", { class: "scale", "aria-hidden": "true" }, this.most, element("span", {}, "0")), this.plot, this.axis);
    this.listen();
  }

  listen() {
    this.plot.addEventListener("pointermove", (event) => this.point(event));
    this.plot.addEventListener("pointerdown", (event) => this.point(event));
    for (const end of ["pointerleave", "blur"]) this.plot.addEventListener(end, () => this.select(null));
    this.plot.addEventListener("keydown", (event) => {
      const last = (this.curve?.times.length ?? 0) - 1;
      const at = this.place ?? last;
      const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last, PageUp: at - 10, PageDown: at + 10 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      this.select(Math.max(0, Math.min(last, to)));
    });
  }

  /** @param {PointerEvent} event */
  point(event) {
    if (!this.curve) return;
    const box = this.plot.getBoundingClientRect();
    const { now, span, times } = this.curve;
    const wanted = now - span * (1 - (event.clientX - box.left) / box.width);
    let nearest = 0;
    times.forEach((time, place) => { if (Math.abs(time - wanted) < Math.abs(times[nearest] - wanted)) nearest = place; });
    this.select(nearest);
  }

  /**
   * Show the value at a point.
   * @param {number | null} place null for the last one
   */
  select(place) {
    this.place = place;
    const curve = this.curve;
    if (!curve) return;
    const at = place ?? curve.times.length - 1;
    const shown = curve.show(curve.values[at] ?? null);
    const text = place === null ? shown : `${clock(curve.times[at])}: ${shown}`;
    setText(this.value, text);
    setAttribute(this.plot, "aria-valuenow", at);
    setAttribute(this.plot, "aria-valuetext", `${clock(curve.times[at])}: ${shown}`);
    const x = place === null ? null : xOf(curve, curve.times[at]);
    for (const end of ["x1", "x2"]) setAttribute(this.pointer, end, x ?? 0);
    this.pointer.classList.toggle("shown", x !== null);
  }

  /**
   * Draw a curve.
   * @param {Curve} curve
   * @param {string} period in words
   * @param {string} gpu
   */
  draw(curve, period, gpu) {
    const selected = this.place === null ? null : this.curve?.times[this.place] ?? null;
    this.curve = curve;
    setAttribute(this.path, "d", outline(curve));
    const known = /** @type {number[]} */ (curve.values.filter((value) => value !== null));
    const range = known.length ? `${curve.show(Math.min(...known))} to ${curve.show(Math.max(...known))}` : "not known";
    setAttribute(this.plot, "aria-label", `${this.label} of ${gpu} in the ${period}: ${range}`);
    setAttribute(this.plot, "aria-valuemax", Math.max(0, curve.times.length - 1));
    setText(this.most, known.length ? curve.show(curve.most) : UNKNOWN);
    setContent(this.axis, ticks(curve));
    const place = selected === null ? -1 : curve.times.indexOf(selected);
    this.select(place < 0 ? null : place);
  }
}

/**
 * @param {Curve} curve
 * @param {number} time
 */
function xOf({ now, span }, time) {
  return Math.max(0, WIDTH * (1 - (now - time) / span));
}

/** @param {Curve} curve */
function ticks({ now, span }) {
  return Array.from({ length: TICKS + 1 }, (_, number) =>
    element("span", {}, number === TICKS ? "now" : clock(now - span * (1 - number / TICKS))));
}

/**
 * Return the curve as an SVG path; unknown values are gaps.
 * @param {Curve} curve
 */
function outline(curve) {
  const gap = GAP_INTERVALS * curve.step;
  let path = "";
  /** @type {number | null} */
  let before = null;
  curve.times.forEach((time, place) => {
    const value = curve.values[place] ?? null;
    if (value === null) {
      before = null;
      return;
    }
    const y = HEIGHT - Math.max(0, Math.min(1, value / curve.most)) * HEIGHT;
    path += before !== null && time - before <= gap ? "L" : "M";
    path += `${xOf(curve, time).toFixed(1)} ${y.toFixed(1)}`;
    before = time;
  });
  return path;
}
