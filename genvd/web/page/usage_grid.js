/**
 * A grid of GPUs and hours: who had which GPU when. The pointer, or the arrow keys, show an hour in words.
 * @module
 */

import { drawn, element, name, setAttribute, setContent } from "./dom.js";
import { gpuLink } from "./routes.js";
import { cellsByHour, hourInWords, runs } from "./usage_cells.js";
import { legend, patterns, Styles } from "./usage_styles.js";

const HOUR = 3600;
const HEIGHT = 22;
const CHARACTER = 6.5;
const LABEL_SPACE = 14;
const LONG_LABEL = 70;
const MIN_CURSOR = 3;
const OUTSIDE_LINE = 3;
const MIN_HOUR = 1;
const TICK_SPACE = 90;

/** The grid of all GPUs. */
export class UsageGrid {
  constructor() {
    /** @type {any} */
    this.grid = null;
    /** @type {Row[]} */
    this.rows = [];
    this.now = 0;
    this.styles = new Styles([]);
    this.readout = element("p", { class: "readout" });
    this.body = element("div", { class: "hours-body" });
    this.axis = element("div", { class: "hours-axis", "aria-hidden": "true" });
    this.scroll = element("div", { class: "hours-scroll" }, this.body, element("div", { class: "hours-row" }, element("span", { class: "hours-gpu" }), this.axis));
    this.legend = element("p", { class: "muted small key" });
    this.node = element("figure", { class: "hours" }, element("figcaption", {}, element("h3", {}, "Who had which GPU, by hour")),
      this.legend, this.readout, this.scroll, patterns());
    new ResizeObserver(() => this.draw()).observe(this.scroll);
  }

  /**
   * @param {any} grid of the document
   * @param {string[]} everybody usernames, those with the most use first: each keeps its colour
   * @param {number} now in seconds
   */
  update(grid, everybody, now) {
    const before = this.grid?.hours;
    this.grid = grid;
    this.now = now;
    this.styles = new Styles(everybody);
    this.node.hidden = !grid.devices.length;
    const previous = new Map(this.rows.map((row) => [row.key, row]));
    this.rows = grid.devices.map((/** @type {any} */ device) => previous.get(device.device) ?? new Row(device.device, this));
    this.rows.forEach((row, number) => row.update(grid.devices[number], grid));
    if (!this.rows.some((row) => row.plot.tabIndex === 0)) this.rows.forEach((row, number) => { row.plot.tabIndex = number ? -1 : 0; });
    this.body.replaceChildren(...this.rows.map((row) => row.node));
    const styles = this.rows.flatMap((row) => row.hours.flatMap((hour) => hour.cells.map((cell) => cell.user)));
    setContent(this.legend, legend(this.styles, new Set(styles), this.rows.flatMap((row) => row.hours)));
    this.draw();
    if (before !== grid.hours) this.scroll.scrollLeft = this.scroll.scrollWidth; // what was last is at the right
    this.select(null, null);
  }

  draw() {
    if (!this.grid) return;
    this.scroll.style.setProperty("--least", `${MIN_HOUR * this.grid.hours}px`);
    const width = this.rows[0]?.plot.clientWidth ?? 0;
    if (!width) return;
    const marks = ticks(this.grid.since_timestamp_seconds, this.grid.hours, Math.max(2, width / TICK_SPACE));
    setContent(this.axis, marks.map(([hour, text]) => {
      const mark = element("span", {}, text);
      mark.style.left = `${100 * hour / this.grid.hours}%`;
      return mark;
    }));
    for (const row of this.rows) row.draw(width, marks.map(([hour]) => hour), this.styles);
  }

  /**
   * Show an hour in words.
   * @param {Row | null} row null for none
   * @param {number | null} hour
   */
  select(row, hour) {
    for (const one of this.rows) one.mark(one === row ? hour : null);
    setContent(this.readout, row === null || hour === null ? ["Point at an hour, or move with the arrow keys, to see who had the GPU."]
      : [`${row.label}, `, ...row.inWords(hour)]);
  }

  /**
   * Move the focus to another GPU.
   * @param {Row} from
   * @param {number} by
   * @param {number} hour
   */
  move(from, by, hour) {
    const to = this.rows[Math.max(0, Math.min(this.rows.length - 1, this.rows.indexOf(from) + by))];
    from.plot.tabIndex = -1;
    to.plot.tabIndex = 0;
    to.plot.focus();
    this.select(to, hour);
  }
}

/** The hours of one GPU. */
class Row {
  /**
   * @param {string} key of the GPU
   * @param {UsageGrid} owner
   */
  constructor(key, owner) {
    this.key = key;
    this.owner = owner;
    this.label = key;
    /** @type {import("./usage_cells.js").Hour[]} */
    this.hours = [];
    this.since = 0;
    this.selected = 0;
    this.width = 0;
    this.name = element("span", { class: "hours-gpu" });
    this.svg = drawn("svg", { "aria-hidden": "true", height: HEIGHT });
    this.names = element("span", { "aria-hidden": "true" });
    this.cursor = element("span", { class: "hours-cursor", "aria-hidden": "true" });
    this.plot = element("div", { class: "hours-plot", role: "slider", tabindex: -1, "aria-valuemin": 0, "aria-orientation": "horizontal" }, this.svg, this.names, this.cursor);
    this.node = element("div", { class: "hours-row" }, this.name, this.plot);
    this.mark(null);
    this.listen();
  }

  listen() {
    for (const kind of /** @type {const} */ (["pointermove", "pointerdown"])) {
      this.plot.addEventListener(kind, (event) => {
        const box = this.plot.getBoundingClientRect();
        this.owner.select(this, this.inside(Math.floor((event.clientX - box.left) / box.width * this.hours.length)));
      });
    }
    this.plot.addEventListener("focus", () => this.owner.select(this, this.inside(this.selected)));
    for (const end of ["pointerleave", "blur"]) this.plot.addEventListener(end, () => this.owner.select(null, null));
    this.plot.addEventListener("keydown", (event) => {
      const at = this.selected;
      const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: this.hours.length, PageUp: at - 24, PageDown: at + 24 }[event.key];
      const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (to === undefined && by === undefined) return;
      event.preventDefault();
      if (to !== undefined) this.owner.select(this, this.inside(to));
      else this.owner.move(this, by ?? 0, at);
    });
  }

  /** @param {number} hour */
  inside(hour) {
    return Math.max(0, Math.min(this.hours.length - 1, hour));
  }

  /**
   * @param {any} device
   * @param {any} grid
   */
  update(device, grid) {
    if (this.hours.length !== grid.hours || !this.hours.length) this.selected = grid.hours - 1;
    this.since = grid.since_timestamp_seconds;
    this.hours = cellsByHour(device, grid, this.owner.now);
    this.label = device.index === null ? device.device : `GPU ${device.index}`;
    setContent(this.name, device.index === null ? [element("span", { title: device.device }, `${device.device.slice(0, 8)}…`)] : [gpuLink(device.index)]);
    setAttribute(this.plot, "aria-label", `Hours of ${this.label}`);
    setAttribute(this.plot, "aria-valuemax", grid.hours - 1);
  }

  /** @param {number} hour */
  inWords(hour) {
    const moment = new Date((this.since + hour * HOUR) * 1000);
    const begin = moment.toLocaleString([], { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
    return [`${begin}: `, ...hourInWords(this.hours[hour])];
  }

  /** @param {number | null} hour null for none */
  mark(hour) {
    this.cursor.hidden = hour === null;
    if (hour !== null) this.selected = hour;
    if (!this.hours.length) return;
    setAttribute(this.plot, "aria-valuenow", this.selected);
    setAttribute(this.plot, "aria-valuetext", this.inWords(this.selected).map((part) => typeof part === "string" ? part : part.textContent).join(""));
    if (hour === null) return;
    const width = Math.max(MIN_CURSOR, this.width / this.hours.length);
    this.cursor.style.left = `${(this.width * (hour + 0.5) / this.hours.length - width / 2).toFixed(1)}px`;
    this.cursor.style.width = `${width.toFixed(1)}px`;
  }

  /**
   * @param {number} width in pixels
   * @param {number[]} marks hours with a line
   * @param {Styles} styles
   */
  draw(width, marks, styles) {
    this.width = width;
    const each = width / this.hours.length;
    /** @type {Map<string, string>} */
    const paths = new Map();
    this.hours.forEach((hour, number) => {
      let top = HEIGHT;
      for (const [style, part] of styles.parts(hour)) {
        const height = part * HEIGHT;
        top -= height;
        if (style !== "empty") paths.set(style, (paths.get(style) ?? "") + box(number, each, top, height));
      }
      if (hour.outside) paths.set("outside", (paths.get("outside") ?? "") + box(number, each, 0, OUTSIDE_LINE));
    });
    setAttribute(this.svg, "width", width);
    this.svg.replaceChildren(
      ...marks.map((hour) => drawn("line", { class: "grid", x1: hour * each, x2: hour * each, y1: 0, y2: HEIGHT })),
      ...[...paths].map(([style, d]) => drawn("path", { class: style, d })));
    const wide = runs(this.hours).filter((run) => run.length * each >= Math.min(LONG_LABEL, LABEL_SPACE + CHARACTER * (run.user || "unknown").length));
    setContent(this.names, wide.map((run) => {
      const label = element("span", { class: "hours-name" }, name(run.user || "unknown", false));
      label.style.left = `${(run.start * each).toFixed(1)}px`;
      label.style.maxWidth = `${(run.length * each).toFixed(1)}px`;
      return label;
    }));
  }
}

/**
 * Return a rectangle as an SVG path. Whole pixels leave no gaps between the hours.
 * @param {number} hour
 * @param {number} each width of an hour
 * @param {number} top
 * @param {number} height
 */
function box(hour, each, top, height) {
  const [left, right] = [Math.round(hour * each), Math.round((hour + 1) * each)];
  return `M${left} ${top.toFixed(1)}h${right - left}v${height.toFixed(1)}h${left - right}z`;
}

/**
 * Return hours at which something is written on the axis, and what.
 * @param {number} since Unix time in seconds
 * @param {number} hours
 * @param {number} most how many there is space for
 * @returns {[number, string][]}
 */
function ticks(since, hours, most) {
  const daily = hours > 48;
  const every = daily ? Math.ceil(hours / 24 / most) : [3, 4, 6, 8, 12].find((step) => hours / step <= most) ?? 24;
  const found = /** @type {[number, string][]} */ ([]);
  let days = 0;
  for (let hour = 0; hour < hours; hour += 1) {
    const moment = new Date((since + hour * HOUR) * 1000);
    if (daily ? moment.getHours() !== 0 || days++ % every : moment.getHours() % every) continue;
    const text = daily || !moment.getHours()
      ? moment.toLocaleDateString([], { weekday: "short", day: "numeric", month: "short" })
      : moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    if (hour + hours / most <= hours) found.push([hour, text]); // one at the end would be cut
  }
  return found;
}
