/**
 * One tile a GPU: who uses it, whether it is free, how busy it is. It leads to everything that is known of it.
 * @module
 */

import { byId, element, name, setAttribute, setChildren, setContent, setText } from "./dom.js";
import { duration, memoryText, percent } from "./format.js";
import { address, environmentLink, separated, userLink } from "./routes.js";

const FEW = 8;
const NAMES = 2;

/** The tiles of some GPUs. They are reused between updates. */
export class Tiles {
  /** @param {HTMLElement} list */
  constructor(list) {
    this.list = list;
    /** @type {Map<string, Tile>} */
    this.tiles = new Map();
  }

  /**
   * @param {any[]} devices rows of the overview
   * @param {any} data the overview
   * @param {number} now in seconds
   * @param {string | null} me who looks at the page
   */
  update(devices, data, now, me) {
    const previous = this.tiles;
    this.tiles = new Map();
    for (const device of devices) {
      const key = `${device.index} ${device.uuid}`;
      const tile = previous.get(key) ?? new Tile(device.index);
      tile.update(device, now, problemsOf(data, device.index), me);
      this.tiles.set(key, tile);
    }
    setChildren(this.list, [...this.tiles.values()].map((tile) => tile.node));
    this.list.classList.toggle("many", devices.length > FEW);
    const rows = Math.ceil(devices.length / FEW);
    this.list.style.setProperty("--columns", String(devices.length > FEW ? Math.ceil(devices.length / rows) : FEW / 2));
  }
}

const all = new Tiles(byId("tiles"));

/**
 * Show the tiles of all GPUs.
 * @param {any} data the overview
 * @param {number} now in seconds
 * @param {string | null} me who looks at the page
 */
export function showTiles(data, now, me) {
  const devices = withLost(data);
  all.update(devices, data, now, me);
  const nothing = byId("no-devices");
  nothing.hidden = Boolean(devices.length);
  setText(nothing, data.devices === null ? "List of GPUs unavailable." : "This machine has no GPU.");
}

/**
 * Return all GPUs, with those that the driver no longer lists.
 * @param {any} data the overview
 * @returns {any[]}
 */
export function withLost(data) {
  const unknown = { state: "down", state_text: "lost", lost: true, guests: [], running_total: 0 };
  return [...(data.devices ?? []), ...data.missing.map((/** @type {any} */ one) => ({ ...one, ...unknown }))];
}

/**
 * Return the problems of a GPU.
 * @param {any} data the overview
 * @param {number} index
 */
export function problemsOf(data, index) {
  return data.problems.filter((/** @type {any} */ problem) => problem.devices.includes(index));
}

/**
 * Return the state of a GPU in words.
 * @param {any} device
 * @param {number} now in seconds
 */
export function stateText(device, now) {
  return device.state === "idle" && device.idle_since !== null
    ? `${device.state_text} ${duration(now - device.idle_since)}` : device.state_text;
}

/** The tile of a GPU. */
class Tile {
  /** @param {number} index */
  constructor(index) {
    this.state = element("span", { class: "state" });
    this.marks = element("span", { class: "marks" });
    this.who = element("span", { class: "who" });
    this.what = element("span", { class: "what" });
    this.busy = new Level();
    this.memory = new Level();
    // The link to the GPU covers the whole tile, but for the links to users and environments.
    const link = element("a", { class: "whole", href: address("gpu", index) }, `GPU ${index}`);
    this.tile = element("div", { class: "tile" },
      element("span", { class: "tile-head" }, element("span", { class: "index" }, link, " ", this.marks), " ", this.state, " "),
      element("span", { class: "names" }, this.who, " ", this.what), " ", this.busy.node, " ", this.memory.node);
    this.node = element("li", {}, this.tile);
  }

  /**
   * @param {any} device
   * @param {number} now in seconds
   * @param {any[]} problems
   * @param {string | null} me
   */
  update(device, now, problems, me) {
    setAttribute(this.tile, "class", `tile ${device.state}${isOn(device, me) ? " mine" : ""}`);
    setText(this.state, stateText(device, now));
    setContent(this.marks, problems.length ? [mark(problems)] : []);
    setContent(this.who, device.lost && !device.holders_total ? [] : who(device, me));
    setContent(this.what, device.lost && !device.holders_total ? ["no longer listed"] : what(device));
    this.updateLevels(device);
  }

  /** @param {any} device */
  updateLevels(device) {
    this.busy.node.hidden = device.state === "down" || device.state === "no_mig_devices";
    this.memory.node.hidden = device.state === "down";
    if (device.state === "down") return;
    if (device.mig_enabled) this.busy.instances(device.mig_used, device.mig.length);
    else this.busy.update(device.utilization, device.utilization === null ? "load not known" : `${percent(device.utilization)} busy`, "busy");
    const [used, total] = device.host_memory_total_bytes === null
      ? [device.memory_used_bytes, device.memory_total_bytes]
      : [device.host_memory_used_bytes, device.host_memory_total_bytes];
    this.memory.update(used === null || !total ? null : used / total,
      used === null ? "memory not known" : memoryText(used, total), "memory");
  }
}

/** A bar with its value, on a tile. */
class Level {
  constructor() {
    this.bar = element("span", { class: "bar", "aria-hidden": "true" });
    this.text = element("span", { class: "text" });
    this.node = element("span", { class: "level" }, this.bar, this.text);
  }

  /**
   * @param {number | null} ratio null if unknown
   * @param {string} text
   * @param {string} style
   */
  update(ratio, text, style) {
    setText(this.text, text);
    if (this.bar.children.length !== 1) setContent(this.bar, [element("span")]);
    const part = /** @type {HTMLElement} */ (this.bar.firstElementChild);
    setAttribute(part, "class", style);
    part.style.width = `${100 * Math.max(0, Math.min(1, ratio ?? 0))}%`;
  }

  /**
   * Show how many MIG devices are used.
   * @param {number | null} used
   * @param {number} total
   */
  instances(used, total) {
    setContent(this.text, used === null ? [`MIG, ${total} instances`]
      : [`MIG, ${used} of ${total}`, element("span", { class: "hidden" }, " in use")]);
    setContent(this.bar, Array.from({ length: total }, (_, place) =>
      element("span", { class: `instance${place < (used ?? 0) ? " busy" : ""}` })));
  }
}

/** @param {any[]} problems */
function mark(problems) {
  const worst = problems.some((problem) => problem.severity === "error") ? "error" : "warning";
  const words = `${problems.length} ${problems.length === 1 ? "problem" : "problems"}`;
  return element("span", { class: worst, title: problems.map((problem) => problem.summary).join("\n") },
    "⚠", element("span", { class: "hidden" }, ` ${words}`));
}

/**
 * Return the users who compute on a GPU without having it attached.
 * @param {any} device
 * @returns {string[]}
 */
function guestsOf(device) {
  const users = device.guests.map((/** @type {any} */ guest) => guest.username);
  return [...new Set(users)].filter((user) => user && !device.people.includes(user));
}

/**
 * Return whether somebody uses a GPU.
 * @param {any} device
 * @param {string | null} user
 */
function isOn(device, user) {
  return user !== null && (device.people.includes(user) || guestsOf(device).includes(user));
}

/**
 * Return the users. A plus is before those who do not have the GPU attached: they come after the first who has.
 * @param {any} device
 * @param {string | null} me
 */
function who(device, me) {
  const guests = guestsOf(device);
  if (!device.people.length && !guests.length || device.state === "free") return [element("span", { class: "muted" }, nobody(device))];
  const people = device.people.slice(0, guests.length ? 1 : NAMES).map(userLink);
  const links = [...people, ...guests.slice(0, NAMES - people.length).map(guestLink)];
  const more = device.people_total + guests.length - links.length;
  return [...separated(links), ...(more > 0 ? [` and ${more} more`] : []), ...(isOn(device, me) ? [" (you)"] : [])];
}

/** @param {string} username */
function guestLink(username) {
  return element("span", { title: "computes on this GPU without having it attached" },
    "+", element("span", { class: "hidden" }, "not attached: "), userLink(username));
}

/** @param {any} device */
function nobody(device) {
  if (device.state === "free" || device.state === "no_mig_devices") return "nobody";
  return device.holders === null ? "holders not known" : device.holders_total || device.running_total ? "unknown user" : "nobody known";
}

/** @param {any} device */
function what(device) {
  if (device.holders_total && device.holders !== null) {
    const guests = device.guests.map((/** @type {any} */ guest) =>
      guest.eid === null ? name(guest.name, false) : environmentLink(guest.eid, guest.name));
    const holders = device.holders.slice(0, guests.length ? 1 : NAMES).map((/** @type {any} */ holder) => environmentLink(holder.eid, holder.name));
    return listed([...holders, ...guests], device.holders_total + guests.length);
  }
  if (!device.running?.length) return [];
  return listed(device.running.map((/** @type {any} */ process) => name(`${process.command || "process"} ${process.pid}`, false)), device.running_total);
}

/**
 * @param {Node[]} names
 * @param {number} total
 */
function listed(names, total) {
  const shown = names.slice(0, NAMES);
  return [...separated(shown), ...(total > shown.length ? [` and ${total - shown.length} more`] : [])];
}
