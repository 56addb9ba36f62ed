/**
 * The usage of each user in numbers and as a bar, and what became of the time of all GPUs.
 * @module
 */

import { element, onPrint, setChildren, setContent, setText } from "./dom.js";
import { hours, percent, UNKNOWN } from "./format.js";
import { userLink } from "./routes.js";

const FIRST_USERS = 20;
const JOULES_PER_KILOWATT_HOUR = 3.6e6;

const HEADS = ["User", "Time", "GPU-hours", "Active", "Idle", "Outside", "Share idle", "kWh"];

/** @type {Record<string, string>} parts of the bars that have a column */
const STYLES = { Active: "part-0", Idle: "idle", Outside: "outside" };

/** @type {[string, string, string][]} state, style, words */
const STATES = [
  ["active", "part-0", "active"],
  ["idle", "idle", "idle"],
  ["attached", "part-6", "attached, use not known"],
  ["outside", "outside", "outside genv"],
  ["free", "free", "free"],
  ["down", "down", "down"],
  ["unknown", "unknown", "not known"],
];

/** The table of users, those with the most GPU-hours first. */
export class UsageTable {
  /** @param {string} label */
  constructor(label) {
    this.all = false;
    this.printing = false;
    /** @type {any[]} */
    this.users = [];
    /** @type {any} */
    this.total = null;
    /** @type {Map<string, Line>} */
    this.lines = new Map();
    this.sum = new Line(element("span", {}, "All users"));
    this.body = element("tbody");
    this.more = element("button", { type: "button", class: "more" });
    this.more.addEventListener("click", () => { this.all = true; this.render(); });
    const heads = HEADS.map((text, number) => element("th", { scope: "col", class: number > 1 ? "number" : "name" },
      ...(STYLES[text] ? [element("span", { class: `swatch ${STYLES[text]}` })] : []), text));
    this.node = element("div", {},
      element("div", { class: "scroll plain", role: "region", tabindex: 0, "aria-label": label },
        element("table", { class: "used", "aria-label": label }, element("thead", {}, element("tr", {}, ...heads)), this.body, element("tfoot", {}, this.sum.node))),
      this.more);
    onPrint((printing) => { this.printing = printing; this.render(); });
  }

  /**
   * @param {any[]} users
   * @param {any} total of all users
   */
  update(users, total) {
    this.users = users;
    this.total = total;
    this.render();
  }

  render() {
    if (this.total === null) return;
    const few = this.all || this.printing || this.users.length <= FIRST_USERS + 1;
    const shown = few ? this.users : this.users.slice(0, FIRST_USERS);
    const most = Math.max(1, ...this.users.map((user) => user.device_seconds));
    const previous = this.lines;
    this.lines = new Map(shown.map((user) => [user.username, previous.get(user.username) ?? new Line(userLink(user.username))]));
    for (const user of shown) this.lines.get(user.username)?.update(user, most);
    setChildren(this.body, [...this.lines.values()].map((line) => line.node));
    this.sum.update(this.total, null);
    this.more.hidden = few;
    setText(this.more, `Show all ${this.users.length} users`);
  }
}

/** The line of a user. */
class Line {
  /** @param {HTMLElement} head */
  constructor(head) {
    this.cells = HEADS.slice(1).map((_, number) => element("td", { class: number ? "number" : "used-bar" }));
    this.node = /** @type {HTMLElement} */ (element("tr", {}, element("th", { scope: "row", class: "name" }, head), ...this.cells));
  }

  /**
   * @param {any} used
   * @param {number | null} most GPU-seconds of the longest bar; null for no bar
   */
  update(used, most) {
    setContent(this.cells[0], most === null ? [] : [bar(used, most)]);
    const times = [used.device_seconds, used.active_device_seconds, used.idle_device_seconds, used.outside_device_seconds];
    const energy = used.energy_joules === null ? UNKNOWN : hours(used.energy_joules * 3600 / JOULES_PER_KILOWATT_HOUR);
    const texts = [...times.map((time) => time === null ? UNKNOWN : hours(time)), percent(used.idle_ratio), energy];
    texts.forEach((text, number) => setText(this.cells[number + 1], text));
  }
}

/**
 * @param {any} used
 * @param {number} most
 */
function bar(used, most) {
  const [active, idle, outside] = [used.active_device_seconds ?? 0, used.idle_device_seconds ?? 0, used.outside_device_seconds ?? 0];
  return parts([["part-0", active], ["idle", idle], ["part-6", used.allocated_device_seconds - active - idle], ["outside", outside]], most);
}

/**
 * @param {[string, number][]} amounts styles and amounts
 * @param {number} most amount of the whole bar
 */
function parts(amounts, most) {
  const made = element("span", { class: "bar", "aria-hidden": "true" });
  for (const [style, amount] of amounts.filter((pair) => pair[1] > 0)) {
    const part = element("span", { class: style });
    part.style.width = `${(100 * amount / most).toFixed(2)}%`;
    made.append(part);
  }
  return made;
}

/**
 * Return how the time of all GPUs was spent: whether there are enough of them.
 * @param {any} capacity seconds by state; null if unknown
 */
export function capacityParts(capacity) {
  const all = Object.values(capacity ?? {}).reduce((sum, amount) => sum + amount, 0);
  if (!all) return [];
  const known = STATES.filter(([state]) => capacity[state] > 0);
  return [element("div", { class: "capacity" },
    element("p", {}, element("strong", {}, `${hours(all)} GPU-hours of all GPUs: `),
      ...known.flatMap(([state, style, words], number) => [number ? " " : "", swatch(style, `${words} ${percent(capacity[state] / all)}`)])),
    parts(known.map(([state, style]) => [style, capacity[state]]), all))];
}

/**
 * @param {string} style
 * @param {string} text
 */
function swatch(style, text) {
  return element("span", { class: "key-part" }, element("span", { class: `swatch ${style}` }), text);
}
