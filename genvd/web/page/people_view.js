/**
 * The views of one user and of one environment: their GPUs, memory against limits, processes and GPU time.
 * @module
 */

import { element, setContent, setText } from "./dom.js";
import { bytes, counted, duration, outOf, percent } from "./format.js";
import { environmentLink, gpuLink, userLink } from "./routes.js";
import { plainTable } from "./table.js";
import { ENVIRONMENTS, PROCESSES } from "./tables.js";
import { talkItem, usageText } from "./talks.js";
import { Tiles, withLost } from "./tiles.js";
import { UsageView } from "./usage_view.js";

const MAX_LIMITS = 50;

/** Shows some environments, with their GPUs and processes. */
class PeopleView {
  constructor() {
    this.summary = element("p", { class: "state-line" });
    this.talks = element("ul", { class: "talks" });
    this.advice = element("ul", { class: "advice" });
    this.list = element("ul", { class: "tiles" });
    this.tiles = new Tiles(this.list);
    this.memory = element("div");
    this.environments = element("div");
    this.processes = element("div");
    this.usage = element("div");
    this.node = element("div", {}, this.summary, this.talks, this.advice, this.list, this.memory, this.environments, this.processes, this.usage);
  }

  /**
   * @param {any} data the overview
   * @param {number} now in seconds
   * @param {string | null} me who looks at the page
   */
  update(data, now, me) {
    const environments = (data.environments ?? []).filter((/** @type {any} */ one) => this.owns(one));
    const processes = (data.processes ?? []).filter((/** @type {any} */ one) => this.runs(one, environments));
    const talks = data.talks.filter((/** @type {any} */ one) => this.concerns(one, environments));
    const indices = new Set([...environments, ...processes].flatMap((one) => one.devices));
    setContent(this.summary, this.inWords(data, environments, processes, now));
    setContent(this.talks, talks.map((/** @type {any} */ talk) => talkItem(talk, now)));
    setContent(this.advice, [...new Set(talks.map((/** @type {any} */ talk) => talk.advice))].map((text) => element("li", {}, String(text))));
    const eids = new Set(environments.map((/** @type {any} */ one) => one.eid));
    const own = withLost(data).filter((one) => one.lost
      ? one.holders.some((/** @type {any} */ holder) => eids.has(holder.eid)) : indices.has(one.index));
    this.tiles.update(own, data, now, me);
    setContent(this.memory, environments.length ? [element("h3", {}, "Memory by GPU"), limits(environments, now)] : []);
    setContent(this.environments, environments.length
      ? [element("h3", {}, "Environments"), plainTable("environments", ENVIRONMENTS, environments, now)] : []);
    setContent(this.processes, data.processes === null ? [element("p", { class: "muted" }, "List of processes unavailable.")]
      : processes.length ? [element("h3", {}, "Processes"), plainTable("processes", PROCESSES, processes, now)] : []);
    this.showUsage(data, now);
  }

  /**
   * @param {any} _data the overview
   * @param {number} _now in seconds
   */
  showUsage(_data, _now) {}
}

/** Shows a user. */
export class UserView extends PeopleView {
  /** @param {string} username */
  constructor(username) {
    super();
    this.username = username;
    this.used = new UsageView(username);
    this.sinceCreated = element("p");
    this.usage.append(element("h3", {}, "GPU time"), this.used.node, this.sinceCreated);
  }

  /** @param {any} one */
  owns(one) {
    return one.username === this.username;
  }

  /** @param {any} one */
  runs(one) {
    return one.username === this.username;
  }

  /** @param {any} one */
  concerns(one) {
    return one.username === this.username;
  }

  /**
   * @param {any} data
   * @param {any[]} environments
   * @param {any[]} processes
   */
  inWords(data, environments, processes) {
    if (data.environments === null) return ["The environments are not known."];
    if (!environments.length && !processes.length) {
      return [data.processes === null ? "Has no environment; the GPU processes are not known." : "Uses nothing on this machine now."];
    }
    // Whoever only draws, as the user of a desktop, has no row.
    const row = (data.users ?? []).find((/** @type {any} */ one) => one.username === this.username)
      ?? { devices: [], processes: processes.length, memory_bytes: total(processes) };
    return [[
      `${counted(row.devices.length, "GPU", "GPUs")} attached`,
      counted(environments.length, "environment", "environments"),
      counted(row.processes, "GPU process", "GPU processes"),
      `${row.memory_bytes === null ? "GPU memory not known" : `${bytes(row.memory_bytes)} of GPU memory`}`,
    ].join(" · ")];
  }

  /**
   * @param {any} data the overview
   * @param {number} now in seconds
   */
  showUsage(data, now) {
    this.used.update(data, now);
    const used = (data.usage ?? []).find((/** @type {any} */ one) => one.username === this.username);
    setText(this.sinceCreated, used ? `GPU time since the ledger was created: ${usageText(used)}.` : "");
  }
}

/**
 * Return the memory of processes in bytes; null if that of one is unknown.
 * @param {any[]} processes
 */
function total(processes) {
  const amounts = processes.map((one) => one.memory_bytes);
  return amounts.includes(null) ? null : amounts.reduce((sum, amount) => sum + amount, 0);
}

/** Shows an environment, found by its ID; otherwise all with that name. */
export class EnvironmentView extends PeopleView {
  /** @param {string} value */
  constructor(value) {
    super();
    this.value = value;
    this.byId = true;
  }

  /** @param {any} data the overview */
  title(data) {
    this.byId = (data.environments ?? []).some((/** @type {any} */ one) => one.eid === this.value);
    const found = (data.environments ?? []).find((/** @type {any} */ one) => this.owns(one));
    return `Environment ${found?.name || this.value}`;
  }

  /** @param {any} one */
  owns(one) {
    return this.byId ? one.eid === this.value : one.name === this.value;
  }

  /**
   * @param {any} one
   * @param {any[]} environments
   */
  runs(one, environments) {
    return !one.unmanaged && environments.some((environment) => environment.eid === one.eid);
  }

  /**
   * @param {any} one
   * @param {any[]} environments
   */
  concerns(one, environments) {
    return environments.some((environment) => environment.eid === one.eid);
  }

  /**
   * @param {any} data
   * @param {any[]} environments
   * @param {any[]} _processes
   * @param {number} now in seconds
   */
  inWords(data, environments, _processes, now) {
    if (data.environments === null) return ["The environments are not known."];
    if (!environments.length) return ["No active environment has this ID or name."];
    return environments.flatMap((one, place) => [
      ...(place ? ["; "] : []), userLink(one.username), " · ", one.created === null ? "" : `active for ${duration(now - one.created)}`,
      one.idle_since === null ? "" : ` · idle for ${duration(now - one.idle_since)}`,
    ]);
  }
}

/**
 * @param {any[]} environments
 * @param {number} now in seconds
 */
function limits(environments, now) {
  const rows = environments.flatMap((environment) => (environment.uses ?? []).map((/** @type {any} */ use) => [environment, use]));
  if (!rows.length) return element("p", { class: "muted" }, "No GPU.");
  const more = rows.length > MAX_LIMITS ? [element("li", { class: "muted" }, `and ${rows.length - MAX_LIMITS} more`)] : [];
  return element("ul", { class: "limits" }, ...rows.slice(0, MAX_LIMITS).map(([environment, use]) => element("li", {},
    gpuLink(use.index), environmentLink(environment.eid, environment.name), bar(use),
    element("span", { class: over(use) ? "warning" : "" }, memory(use)), element("span", { class: "muted" }, note(use, now)))), ...more);
}

/** @param {any} use */
function over(use) {
  return use.memory_limit_bytes !== null && (use.memory_bytes ?? 0) > use.memory_limit_bytes;
}

/** @param {any} use */
function memory(use) {
  if (use.memory_limit_bytes === null) return `${bytes(use.memory_bytes)}, no limit`;
  return `${outOf(bytes(use.memory_bytes), bytes(use.memory_limit_bytes))} asked for`;
}

/**
 * @param {any} use
 * @param {number} now in seconds
 */
function note(use, now) {
  return [
    use.attached ? "" : "not attached",
    use.utilization === null ? "" : `${percent(use.utilization)} of its time`,
    use.idle_since === null ? "" : `idle for ${duration(now - use.idle_since)}`,
  ].filter(Boolean).join(", ");
}

/** @param {any} use */
function bar(use) {
  if (use.memory_limit_bytes === null) return element("span");
  const part = element("span", { class: over(use) ? "over" : "memory" });
  const ratio = use.memory_limit_bytes ? (use.memory_bytes ?? 0) / use.memory_limit_bytes : 0;
  part.style.width = `${100 * Math.min(1, ratio)}%`;
  return element("span", { class: "bar", "aria-hidden": "true" }, part);
}
