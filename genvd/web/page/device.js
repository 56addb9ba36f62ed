/**
 * The card of a GPU.
 * @module
 */

import { element, name, setAttribute, setContent, setText } from "./dom.js";
import { bytes, celsius, duration, outOf, percent, time, UNKNOWN, watts } from "./format.js";
import { Gauge } from "./gauge.js";

const HOT_CELSIUS = 100;
const STYLES = 8;

/** Shows the load of a GPU, its memory by owner, its environments and its processes. */
export class Card {
  constructor() {
    this.title = element("h3");
    this.state = element("span", { class: "badge" });
    this.utilization = new Gauge("Utilisation");
    this.memory = new Gauge("Memory");
    this.temperature = new Gauge("Temperature");
    this.power = new Gauge("Power");
    this.holders = element("dd");
    this.running = element("dd");
    this.slow = element("dd");
    this.facts = element("dl", { class: "facts" },
      element("dt", {}, "Attached to"), this.holders, element("dt", {}, "Processes"), this.running);
    this.slowTitle = element("dt", {}, "Throttled by");
    this.shares = element("div", { class: "memory" });
    this.onDevice = element("span", { class: "hidden" });
    this.node = element("article", { class: "card" },
      element("div", { class: "card-head" }, this.title, this.state),
      this.utilization.node, this.memory.node, this.temperature.node, this.power.node, this.facts,
      element("details", {}, element("summary", {}, "Memory by owner", this.onDevice), this.shares));
  }

  /**
   * @param {any} device a row of the overview
   * @param {any} curves of the last hour
   * @param {{times: number[], now: number, interval: number}} axis
   */
  update(device, curves, axis) {
    setContent(this.title, [`GPU ${device.index}`, ...(device.name ? [" · ", name(device.name)] : [])]);
    this.setNames(`GPU ${device.index}`);
    const [state, style] = stateOf(device, axis.now);
    setText(this.state, state);
    setAttribute(this.state, "class", `badge ${style}`);
    this.node.classList.toggle("down", device.up === false);
    this.updateGauges(device);
    this.drawCurves(device, curves, axis);
    setContent(this.holders, holders(device));
    setContent(this.running, running(device));
    this.updateSlow(device);
    setContent(this.shares, shares(device));
  }

  /** @param {string} gpu */
  setNames(gpu) {
    for (const gauge of [this.utilization, this.memory, this.temperature, this.power]) gauge.setDevice(gpu);
    setText(this.onDevice, ` on ${gpu}`);
  }

  /** @param {any} device */
  updateGauges(device) {
    const { utilization, temperature_celsius: heat, power_watts: power, power_limit_watts: limit } = device;
    const hottest = device.slowdown_celsius ?? HOT_CELSIUS;
    this.utilization.update(
      utilization === null && device.mig_enabled ? "unavailable in MIG mode" : percent(utilization), one(utilization), false);
    this.memory.update(memory(device), memoryParts(device), false);
    this.temperature.update(celsius(heat), heat === null ? null : one(heat / hottest), heat !== null && heat >= hottest);
    this.power.update(limit === null ? watts(power) : outOf(watts(power), watts(limit)),
      power === null ? null : one(power / (limit || power || 1)), false);
  }

  /**
   * @param {any} device
   * @param {any} curves
   * @param {{times: number[], now: number, interval: number}} axis
   */
  drawCurves(device, curves, axis) {
    const most = Math.max(1, device.power_limit_watts ?? 0, ...(curves.power ?? []));
    this.utilization.draw({ ...axis, values: curves.utilization ?? [], most: 1, show: percent });
    this.memory.draw({ ...axis, values: curves.memory ?? [], most: 1, show: percent });
    this.temperature.draw({ ...axis, values: curves.temperature ?? [], most: HOT_CELSIUS, show: celsius });
    this.power.draw({ ...axis, values: curves.power ?? [], most, show: watts });
  }

  /** @param {any} device */
  updateSlow(device) {
    if (!device.throttled.length) {
      this.slowTitle.remove();
      this.slow.remove();
      return;
    }
    setText(this.slow, device.throttled.join(", ").replaceAll("_", " "));
    if (!this.slow.isConnected) this.facts.append(this.slowTitle, this.slow);
  }
}

/**
 * @param {any} device
 * @param {number} now
 */
function stateOf(device, now) {
  if (device.up === false) return ["does not answer", "error"];
  if (device.holders === null) return ["attachments unknown", ""];
  if (device.idle_since !== null) {
    return [`idle since ${time(device.idle_since, now)} (${duration(now - device.idle_since)})`, "warning"];
  }
  if (device.holders_total) return ["in use", "good"];
  return device.running_total ? ["used, not attached", "warning"] : ["free", ""];
}

/** @param {number | null} ratio */
function one(ratio) {
  return ratio === null ? null : [{ ratio, style: "" }];
}

/** @param {any} device */
function memory(device) {
  if (device.host_memory_total_bytes !== null) {
    return `host: ${outOf(bytes(device.host_memory_used_bytes), bytes(device.host_memory_total_bytes))}`;
  }
  return outOf(bytes(device.memory_used_bytes), bytes(device.memory_total_bytes));
}

/** @param {any} device */
function memoryParts(device) {
  if (device.host_memory_total_bytes) return one(device.host_memory_used_bytes / device.host_memory_total_bytes);
  const { memory_used_bytes: used, memory_total_bytes: total, memory_by_environment: parts, orphan_bytes: orphan } = device;
  if (used === null || !total) return null;
  if (!parts) return one(used / total);
  const shown = parts.map((/** @type {any} */ part, /** @type {number} */ place) => ({
    ratio: part.memory_bytes / total, style: `part-${place % STYLES}`,
  }));
  return orphan ? [...shown, { ratio: orphan / total, style: "orphan" }] : shown;
}

/** @param {any} device */
function holders(device) {
  if (device.holders === null) return [UNKNOWN];
  if (!device.holders_total) return ["nobody"];
  return [list(device.holders.map((/** @type {any} */ holder) => [
    name(holder.name ?? holder.eid), ...inParentheses(holder.username), ...(holder.idle ? [", idle"] : []),
  ]), device.holders_total)];
}

/** @param {any} device */
function running(device) {
  if (device.running === null) return [UNKNOWN];
  if (!device.running_total) return ["nothing"];
  return [list(device.running.map((/** @type {any} */ process) => [
    name(process.command ?? "process"), ` ${process.pid}`, ...inParentheses(process.username),
  ]), device.running_total)];
}

/** @param {string | null} username */
function inParentheses(username) {
  return username === null ? [] : [" (", name(username), ")"];
}

/**
 * @param {(Node | string)[][]} lines
 * @param {number} total
 */
function list(lines, total) {
  const items = lines.map((line) => element("li", {}, ...line));
  if (total > lines.length) items.push(element("li", {}, `and ${total - lines.length} more`));
  return element("ul", {}, ...items);
}

/** @param {any} device */
function shares(device) {
  const orphan = device.orphan_bytes === null ? [] : [line("orphan", "orphan memory", device.orphan_bytes)];
  const blocks = [
    block("By environment", (device.memory_by_environment ?? []).map((/** @type {any} */ part, /** @type {number} */ place) =>
      line(`part-${place % STYLES}`, part.name ?? (part.unclear ? "unknown" : "outside genv"), part.memory_bytes)).concat(orphan)),
    block("By user", (device.memory_by_user ?? []).map((/** @type {any} */ part) => line(null, part.name ?? "unknown", part.memory_bytes))),
  ];
  if (device.mig.length) {
    blocks.push(block("MIG devices", device.mig.map((/** @type {any} */ mig) => line(null, `${mig.number} ${mig.profile ?? ""}`,
      mig.memory_used_bytes, mig.memory_total_bytes))));
  }
  return device.memory_by_environment ? blocks : blocks.slice(2).concat(element("p", {}, "Owners of the memory unknown."));
}

/**
 * @param {string} title
 * @param {HTMLElement[]} lines
 */
function block(title, lines) {
  return element("div", {}, element("h4", {}, title),
    lines.length ? element("ul", {}, ...lines) : element("p", { class: "muted" }, "none"));
}

/**
 * @param {string | null} style
 * @param {string} text
 * @param {number | null} amount
 * @param {number | null} [total]
 */
function line(style, text, amount, total) {
  const swatch = style ? [element("span", { class: `swatch ${style}` })] : [];
  const shown = total === undefined ? bytes(amount) : outOf(bytes(amount), bytes(total));
  return element("li", {}, element("span", {}, ...swatch, name(text)), element("span", {}, shown));
}
