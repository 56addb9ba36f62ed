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
    this.more = element("button", { type: "button", class: "more" });
    this.more.addEventListener("click", () => { this.all = true; this.render(); });
    this.list.after(this.more);
    this.printing = false;
    onPrint((printing) => { this.printing = printing; this.render(); });
  }

  /** @param {HTMLElement[]} items */
  update(items) {
    this.items = items;
    this.render();
  }

  render() {
    const shown = this.all || this.printing || this.items.length <= this.first + 1 ? this.items : this.items.slice(0, this.first);
    setContent(this.list, shown);
    this.more.hidden = shown.length === this.items.length;
    setText(this.more, `Show all ${this.items.length} ${this.things}`);
  }
}
