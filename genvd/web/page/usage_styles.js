/**
 * How the grid shows users: a colour and a pattern for each of those with the most use, so that no colour is needed to
 * tell them apart.
 * @module
 */

import { drawn, element, name } from "./dom.js";
import { userLink } from "./routes.js";

const COLORS = 8;
const SIZE = 8;
const MAX_STYLED = 16;

/** The marks of the patterns, as SVG paths in a square of SIZE. */
const MARKS = [
  "",
  "M-2 10L10 -2M-6 6L6 -6M2 14L14 2",
  "M0 2H8M0 6H8",
  "M-2 -2L10 10M-6 2L6 14M2 -6L14 6",
  "M2 0V8M6 0V8",
  "M0 0L8 8M8 0L0 8",
  "M1 2H3M5 6H7",
  "M0 4H8M4 0V8",
];

/** The styles of users. */
export class Styles {
  /** @param {string[]} everybody usernames, those with the most use first */
  constructor(everybody) {
    this.styled = new Map(everybody.filter(Boolean).slice(0, MAX_STYLED).map((user, number) => [user, `user-${number}`]));
  }

  /** @param {string} user */
  of(user) {
    return this.styled.get(user) ?? "others";
  }

  /**
   * Return what to draw of an hour, from the bottom up: styles, and parts of the hour.
   * @param {import("./usage_cells.js").Hour} hour
   * @returns {[string, number][]}
   */
  parts(hour) {
    /** @type {[string, number][]} */
    const found = hour.cells.flatMap((cell) => /** @type {[string, number][]} */ ([
      [this.of(cell.user), cell.used], [`${this.of(cell.user)} unused`, cell.idle],
    ]));
    found.push(["hidden-users", hour.others], ["lost", hour.down], ["empty", hour.free], ["not-known", hour.unknown]);
    const all = Math.max(hour.seconds, found.reduce((sum, [, amount]) => sum + amount, 0)); // several users can have one GPU
    return found.filter(([, amount]) => amount > 0).map(([style, amount]) => [style, amount / all]);
  }
}

/** Return the patterns that the styles refer to. */
export function patterns() {
  const made = Array.from({ length: MAX_STYLED }, (_, number) => {
    const marks = MARKS[(number + Math.floor(number / COLORS)) % MARKS.length];
    return drawn("pattern", { id: `pattern-${number}`, width: SIZE, height: SIZE, patternUnits: "userSpaceOnUse" },
      drawn("rect", { class: `fill-${number % COLORS}`, width: SIZE, height: SIZE }), drawn("path", { class: "marks", d: marks }));
  });
  const lines = drawn("pattern", { id: "pattern-not-known", width: SIZE, height: SIZE, patternUnits: "userSpaceOnUse" },
    drawn("path", { class: "faint", d: MARKS[1] }));
  return drawn("svg", { class: "patterns", width: 0, height: 0, "aria-hidden": "true" }, drawn("defs", {}, ...made, lines));
}

/**
 * Return what the styles mean, of those that are there.
 * @param {Styles} styles
 * @param {Set<string>} users
 * @param {import("./usage_cells.js").Hour[]} hours
 */
export function legend(styles, users, hours) {
  const named = [...styles.styled].filter(([user]) => users.has(user)).map(([user, style]) => item(style, userLink(user)));
  const rest = [...users].filter((user) => !styles.styled.has(user));
  return [
    ...named,
    ...(rest.length ? [item("others", rest.length === 1 ? name(rest[0] || "unknown user", false) : "other users")] : []),
    ...(users.size ? [item(`${[...styles.styled.values()][0] ?? "others"} unused`, "pale: idle")] : []),
    ...(hours.some((hour) => hour.outside) ? [item("outside", "line at the top: outside genv")] : []),
    ...(hours.some((hour) => hour.others) ? [item("hidden-users", "others")] : []),
    ...(hours.some((hour) => hour.down) ? [item("lost", "down")] : []),
    ...(hours.some((hour) => hour.unknown) ? [item("not-known", "not known")] : []),
    element("span", { class: "key-part" }, "empty: free"),
  ].flatMap((one) => [one, " "]);
}

/**
 * @param {string} style
 * @param {Node | string} text
 */
function item(style, text) {
  return element("span", { class: "key-part" },
    drawn("svg", { class: "key-swatch", width: 20, height: 14, "aria-hidden": "true" },
      drawn("rect", { class: style, width: 20, height: style === "outside" ? 3 : 14 })), text);
}
