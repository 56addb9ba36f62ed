/**
 * A table that sorts and filters, and stays where it is while its rows change.
 * @module
 */

import { element, name, setAttribute, setChildren, setName, setText } from "./dom.js";
import { UNKNOWN } from "./format.js";
import { keep, kept } from "./kept.js";

const FIRST_ROWS = 100;

/**
 * @typedef {object} Column
 * @property {string} title
 * @property {"name" | "number" | "text"} kind
 * @property {(row: any) => string | number | null} value by which it is sorted; null is last in any case
 * @property {(row: any, now: number) => string | null} [show] what is shown, if not the value
 * @property {(row: any) => "error" | "warning" | null} [severity] that of the problem that this is, as it is named above
 */

/** A table of one part of the overview. */
export class Table {
  /**
   * @param {HTMLElement} section with a heading
   * @param {string} things their name in the plural
   * @param {Column[]} columns the first one says what a row is about
   * @param {(row: any) => string} key what tells one row from another
   * @param {number} sortedBy the number of the column by which it is sorted at first
   */
  constructor(section, things, columns, key, sortedBy) {
    this.things = things;
    this.columns = columns;
    this.key = key;
    this.sortedBy = sortedBy;
    this.descending = columns[sortedBy].kind === "number";
    this.all = false;
    /** @type {any[] | null} */
    this.rows = null;
    this.now = 0;
    /** @type {Map<string, HTMLTableRowElement>} */
    this.lines = new Map();
    this.build(section);
    this.restore();
  }

  restore() {
    const before = kept(this.filter.id);
    if (!before || !this.columns[before.sortedBy]) return;
    this.filter.value = before.filter;
    this.sortedBy = before.sortedBy;
    this.descending = before.descending;
  }

  keep() {
    keep(this.filter.id, { filter: this.filter.value, sortedBy: this.sortedBy, descending: this.descending });
  }

  /** @param {HTMLElement} section */
  build(section) {
    const heading = section.querySelector("h2");
    this.filter = /** @type {HTMLInputElement} */ (element("input", { type: "search", id: `filter-${section.id}`, autocomplete: "off", spellcheck: "false" }));
    this.filter.addEventListener("input", () => { this.keep(); this.render(); this.announce(); });
    this.count = element("span", { class: "muted" });
    this.announced = element("span", { class: "hidden", role: "status" });
    this.more = element("button", { type: "button", hidden: "" });
    this.more.addEventListener("click", () => { this.all = true; this.render(); });
    this.heads = this.columns.map((column, number) => this.head(column, number));
    this.body = element("tbody");
    const table = element("table", { "aria-labelledby": heading?.id ?? "" },
      element("thead", {}, element("tr", {}, ...this.heads)), this.body);
    this.scroll = element("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": `Table of ${this.things}` }, table);
    section.append(
      element("div", { class: "tools" }, element("label", { for: this.filter.id }, `Filter ${this.things}`), this.filter,
        this.count, this.announced),
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
    this.keep();
    this.render();
  }

  /**
   * Show other rows.
   * @param {any[] | null} rows null while they are not known
   * @param {number} now in seconds
   */
  update(rows, now) {
    this.rows = rows;
    this.now = now;
    this.render();
  }

  render() {
    const found = (this.rows ?? []).filter((row) => this.matches(row)).sort((a, b) => this.compare(a, b));
    const shown = this.all ? found : found.slice(0, FIRST_ROWS);
    const before = this.lines;
    this.lines = new Map(shown.map((row) => [this.key(row), this.line(row, before.get(this.key(row)))]));
    setChildren(this.body, [...this.lines.values()]);
    this.scroll.hidden = !shown.length;
    this.more.hidden = shown.length === found.length;
    setText(this.more, `Show all ${found.length} ${this.things}`);
    setText(this.count, this.inWords(found.length));
    this.heads.forEach((head, number) => setAttribute(head, "aria-sort",
      number !== this.sortedBy ? null : this.descending ? "descending" : "ascending"));
  }

  /** @param {number} found */
  inWords(found) {
    if (this.rows === null) return `Which ${this.things} there are is not known.`;
    if (!this.rows.length) return "none";
    return found === this.rows.length ? `${found}` : `${found} of ${this.rows.length}`;
  }

  announce() {
    setText(this.announced, `${this.count.textContent} ${this.things} found`);
  }

  /**
   * Tell whether each word that is wanted is somewhere in the row.
   * @param {any} row
   */
  matches(row) {
    const wanted = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const texts = wanted.length ? this.columns.map((column) => this.text(column, row).toLowerCase()) : [];
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
   * @param {Column} column
   * @param {any} row
   */
  text(column, row) {
    const shown = column.show ? column.show(row, this.now) : column.value(row);
    return shown === null ? UNKNOWN : String(shown);
  }

  /**
   * @param {any} row
   * @param {HTMLTableRowElement | undefined} line what showed it before
   */
  line(row, line) {
    const made = line ?? /** @type {HTMLTableRowElement} */ (element("tr", {}, ...this.columns.map((column, number) =>
      element(number ? "td" : "th", { class: column.kind, ...(number ? {} : { scope: "row" }) }, name("")))));
    this.columns.forEach((column, number) => {
      const cell = made.children[number];
      setName(/** @type {Element} */ (cell.firstElementChild), this.text(column, row));
      const severity = column.severity?.(row);
      for (const one of ["error", "warning"]) cell.classList.toggle(one, one === severity);
    });
    return made;
  }
}
