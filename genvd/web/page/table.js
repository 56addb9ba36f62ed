/**
 * A table that can be sorted and filtered. Updates keep its scroll position.
 * @module
 */

import { element, name, onPrint, setAttribute, setChildren, setName, setText } from "./dom.js";
import { UNKNOWN } from "./format.js";
import { loadSettings, saveSettings } from "./settings.js";

const FIRST_ROWS = 100;

/**
 * @typedef {object} Column
 * @property {string} title
 * @property {"name" | "number" | "text"} kind
 * @property {(row: any) => string | number | null} value sort key; null is always last
 * @property {(row: any, now: number) => string | null} [show] text of the cell, if not the value
 * @property {(row: any) => "error" | "warning" | null} [severity] severity of the problem that the cell shows
 * @property {(row: any) => string | null} [link] address that the cell leads to
 */

/** A table of one part of the overview. */
export class Table {
  /**
   * @param {HTMLElement} section with a heading
   * @param {string} things their name in the plural
   * @param {Column[]} columns the first one is the header of the row
   * @param {(row: any) => string} key unique key of a row
   * @param {number} sortedBy index of the initial sort column
   */
  constructor(section, things, columns, key, sortedBy) {
    this.things = things;
    this.columns = columns;
    this.key = key;
    this.sortedBy = sortedBy;
    this.descending = columns[sortedBy].kind === "number";
    this.all = false;
    this.printing = false;
    /** @type {any[] | null} */
    this.rows = null;
    this.now = 0;
    /** @type {Map<string, HTMLTableRowElement>} */
    this.lines = new Map();
    this.build(section);
    this.restore();
    onPrint((printing) => { this.printing = printing; this.render(); }); // paper shows whole tables
  }

  restore() {
    const saved = loadSettings(this.filter.id);
    if (!saved || !this.columns[saved.sortedBy]) return;
    this.filter.value = saved.filter;
    this.sortedBy = saved.sortedBy;
    this.descending = saved.descending;
  }

  save() {
    saveSettings(this.filter.id, { filter: this.filter.value, sortedBy: this.sortedBy, descending: this.descending });
  }

  /** @param {HTMLElement} section */
  build(section) {
    const heading = section.querySelector("h2");
    this.filter = /** @type {HTMLInputElement} */ (element("input", { type: "search", id: `filter-${section.id}`, autocomplete: "off", spellcheck: "false" }));
    this.filter.addEventListener("input", () => { this.save(); this.render(); this.announce(); });
    this.count = element("span", { class: "muted" });
    this.announced = element("span", { class: "hidden", role: "status" });
    this.more = element("button", { type: "button", hidden: "" });
    this.more.addEventListener("click", () => { this.all = true; this.render(); });
    this.heads = this.columns.map((column, number) => this.head(column, number));
    this.body = element("tbody");
    const table = element("table", { "aria-labelledby": heading?.id ?? "" },
      element("thead", {}, element("tr", {}, ...this.heads)), this.body);
    this.scroll = element("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": `Table of ${this.things}` }, table);
    this.search = element("span", { class: "search" }, element("label", { for: this.filter.id }, `Filter ${this.things}`), this.filter);
    section.append(
      element("div", { class: "tools" }, this.search, this.count, this.announced),
      this.scroll, this.more);
  }

  /**
   * @param {Column} column
   * @param {number} number
   */
  head(column, number) {
    const button = element("button", { type: "button" }, column.title);
    button.addEventListener("click", () => this.sortBy(number));
    return element("th", { scope: "col", class: column.kind }, button);
  }

  /** @param {number} number */
  sortBy(number) {
    this.descending = this.sortedBy === number ? !this.descending : this.columns[number].kind === "number";
    this.sortedBy = number;
    this.save();
    this.render();
  }

  /**
   * Replace the rows.
   * @param {any[] | null} rows null if unknown
   * @param {number} now in seconds
   */
  update(rows, now) {
    const filteredBefore = this.rows === null && this.filter.value;
    this.rows = rows;
    this.now = now;
    this.render();
    if (filteredBefore) this.announce();
  }

  render() {
    const found = (this.rows ?? []).filter((row) => this.matches(row)).sort((a, b) => this.compare(a, b));
    const shown = this.all || this.printing ? found : found.slice(0, FIRST_ROWS);
    const previous = this.lines;
    this.lines = new Map(shown.map((row) => [this.key(row), this.line(row, previous.get(this.key(row)))]));
    setChildren(this.body, [...this.lines.values()]);
    this.scroll.hidden = !shown.length;
    this.search.hidden = !this.rows?.length && !this.filter.value && document.activeElement !== this.filter;
    this.more.hidden = shown.length === found.length;
    setText(this.more, `Show all ${found.length} ${this.things}`);
    setText(this.count, this.countText(found.length));
    this.heads.forEach((head, number) => setAttribute(head, "aria-sort",
      number !== this.sortedBy ? null : this.descending ? "descending" : "ascending"));
  }

  /** @param {number} found */
  countText(found) {
    if (this.rows === null) return `List of ${this.things} unavailable.`;
    if (!this.rows.length) return "none";
    return found === this.rows.length ? `${found}` : `${found} of ${this.rows.length}`;
  }

  announce() {
    if (this.rows !== null) setText(this.announced, `${this.count.textContent} ${this.things} found`);
  }

  /**
   * Return whether the row contains each word of the filter.
   * @param {any} row
   */
  matches(row) {
    const wanted = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const texts = wanted.length ? this.columns.map((column) => textOf(column, row, this.now).toLowerCase()) : [];
    return wanted.every((word) => texts.some((text) => text.includes(word)));
  }

  /**
   * @param {any} left
   * @param {any} right
   */
  compare(left, right) {
    const column = this.columns[this.sortedBy];
    const [a, b] = [column.value(left), column.value(right)];
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
    return this.descending ? -order : order;
  }

  /**
   * @param {any} row
   * @param {HTMLTableRowElement | undefined} line the element that showed this row before
   */
  line(row, line) {
    const made = line ?? emptyLine(this.columns);
    fill(made, this.columns, row, this.now);
    return made;
  }
}

/**
 * Return a table that cannot be sorted or filtered, of the first rows.
 * @param {string} things their name in the plural
 * @param {Column[]} columns the first one is the header of the row
 * @param {any[]} rows
 * @param {number} now in seconds
 */
export function plainTable(things, columns, rows, now) {
  const heads = columns.map((column) => element("th", { scope: "col", class: column.kind }, column.title));
  const lines = rows.slice(0, FIRST_ROWS).map((row) => {
    const line = emptyLine(columns);
    fill(line, columns, row, now);
    return line;
  });
  const table = element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...lines));
  const more = rows.length - lines.length;
  return element("div", {}, element("div", { class: "scroll plain", role: "region", tabindex: 0, "aria-label": `Table of ${things}` }, table),
    ...(more > 0 ? [element("p", { class: "muted" }, `and ${more} more`)] : []));
}

/** @param {Column[]} columns */
function emptyLine(columns) {
  return /** @type {HTMLTableRowElement} */ (element("tr", {}, ...columns.map((column, number) =>
    element(number ? "td" : "th", { class: column.kind, ...(number ? {} : { scope: "row" }) },
      column.link ? element("a", {}, name("")) : name("")))));
}

/**
 * Show a row in a line.
 * @param {HTMLTableRowElement} line
 * @param {Column[]} columns
 * @param {any} row
 * @param {number} now in seconds
 */
function fill(line, columns, row, now) {
  columns.forEach((column, number) => {
    const cell = line.children[number];
    const text = textOf(column, row, now);
    if (column.link) {
      const link = /** @type {Element} */ (cell.firstElementChild);
      setAttribute(link, "href", column.link(row));
      setName(/** @type {Element} */ (link.firstElementChild), text, !column.link(row));
    } else {
      setName(/** @type {Element} */ (cell.firstElementChild), text);
    }
    const severity = column.severity?.(row);
    for (const one of ["error", "warning"]) cell.classList.toggle(one, one === severity);
  });
}

/**
 * @param {Column} column
 * @param {any} row
 * @param {number} now in seconds
 */
function textOf(column, row, now) {
  const shown = column.show ? column.show(row, now) : column.value(row);
  return shown === null ? UNKNOWN : String(shown);
}
