/**
 * A list of which the first items are shown until all are wanted.
 * @module
 */

import { byId, element, onPrint, setContent, setText } from "./dom.js";

/** Shows the first items of a list, and a button for the others. */
export class Folded {
  /**
   * @param {string} id of the list
   * @param {string} things their name in the plural
   * @param {number} first how many are shown
   */
  constructor(id, things, first) {
    this.list = byId(id);
    this.things = things;
    this.first = first;
    this.all = false;
    /** @type {HTMLElement[]} */
    this.items = [];
    this.unlisted = 0;
    this.more = element("button", { type: "button", class: "more" });
    this.more.addEventListener("click", () => { this.all = true; this.render(); });
    this.list.after(this.more);
    this.printing = false;
    onPrint((printing) => { this.printing = printing; this.render(); });
  }

  /**
   * @param {HTMLElement[]} items
   * @param {number} [unlisted] how many more there are, of which nothing is known but their number
   */
  update(items, unlisted = 0) {
    this.items = items;
    this.unlisted = unlisted;
    this.render();
  }

  render() {
    const shown = this.all || this.printing || this.items.length <= this.first + 1 ? this.items : this.items.slice(0, this.first);
    const whole = shown.length === this.items.length;
    setContent(this.list, [...shown, ...(whole && this.unlisted ? [element("li", {}, `and ${this.unlisted} more`)] : [])]);
    this.more.hidden = whole;
    setText(this.more, this.unlisted
      ? `Show ${this.items.length} of ${this.items.length + this.unlisted} ${this.things}`
      : `Show all ${this.items.length} ${this.things}`);
  }
}
