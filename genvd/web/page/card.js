/**
 * The card of a GPU.
 * @module
 */

import { element, name, setContent, setText } from "./dom.js";
import { bytes, celsius, outOf, percent, UNKNOWN, watts } from "./format.js";
import { Gauge } from "./gauge.js";
import { environmentLink, userLink } from "./routes.js";

const HOT_CELSIUS = 100;
const STYLES = 8;

/** Shows the load of a GPU, its memory by owner, its environments and its processes. */
export class Card {
  constructor() {
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
    this.node = element("article", { class: "card" },
      element("div", { class: "card-part" }, this.utilization.node, this.memory.node, this.temperature.node, this.power.node, this.facts),
      element("div", { class: "card-part" }, element("h3", {}, "Memory by owner"), this.shares));
  }

  /** @param {any} device a row of the overview */
  update(device) {
    for (const gauge of [this.utilization, this.memory, this.temperature, this.power]) gauge.setDevice(`GPU ${device.index}`);
    this.node.classList.toggle("down", device.state === "down");
    this.updateGauges(device);
    setContent(this.holders, holders(device));
    setContent(this.running, running(device));
    this.updateSlow(device);
    setContent(this.shares, shares(device));
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
    environmentLink(holder.eid, holder.name), " (", userLink(holder.username), ")", ...(holder.idle ? [", idle"] : []),
  ]), device.holders_total)];
}

/** @param {any} device */
function running(device) {
  if (device.running === null) return [UNKNOWN];
  if (!device.running_total) return ["nothing"];
  return [list(device.running.map((/** @type {any} */ process) => [
    name(process.command || "process"), ` ${process.pid} (`, userLink(process.username), ")",
  ]), device.running_total)];
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
