/**
 * The columns of the tables of environments, users and processes.
 * @module
 */

import { byId } from "./dom.js";
import { bytes, count, duration, indices, percent, time } from "./format.js";
import { address } from "./routes.js";
import { Table } from "./table.js";

/** @typedef {import("./table.js").Column} Column */

/**
 * A column with a time, shown and sorted by how long ago it is.
 * @param {string} title
 * @param {(row: any) => number | null} moment
 * @returns {Column}
 */
function since(title, moment) {
  return {
    title,
    kind: "number",
    value: (row) => { const at = moment(row); return at === null ? null : -at; },
    show: (row, now) => { const at = moment(row); return at === null ? null : duration(now - at); },
  };
}

/**
 * @param {string} title
 * @param {(row: any) => number | null} value
 * @param {(value: number | null) => string} show
 * @returns {Column}
 */
function number(title, value, show = count) {
  return { title, kind: "number", value, show: (row) => show(value(row)) };
}

/** @type {Column} */
const DEVICES = { title: "GPUs", kind: "text", value: (row) => row.devices.length ? indices(row.devices) : null };

/** @type {Column} */
const USER = {
  title: "User",
  kind: "name",
  value: (row) => row.username || null,
  link: (row) => row.username ? address("user", row.username) : null,
};

/** @type {Column[]} */
export const ENVIRONMENTS = [
  { title: "Environment", kind: "name", value: (row) => row.name || row.eid, link: (row) => address("env", row.eid) },
  { title: "ID", kind: "text", value: (row) => row.eid },
  USER,
  DEVICES,
  number("Processes", (row) => row.processes),
  number("Memory", (row) => row.memory_bytes, bytes),
  number("Limit per GPU", (row) => row.memory_limit_bytes, (value) => value === null ? "none" : bytes(value)),
  number("Utilisation", (row) => row.utilization, percent),
  since("Idle for", (row) => row.idle_since),
  since("Active for", (row) => row.created),
  {
    title: "Violations",
    kind: "text",
    value: (row) => row.violations.join(", ").replaceAll("_", " ") || "none",
    severity: (row) => row.violations.length ? "warning" : null,
  },
];

/** @type {Column[]} */
const USERS = [
  USER,
  number("Environments", (row) => row.environments),
  DEVICES,
  number("GPU processes", (row) => row.processes),
  number("GPU memory", (row) => row.memory_bytes, bytes),
  { ...number("Outside genv", (row) => row.unmanaged), severity: (row) => row.unmanaged ? "warning" : null },
];

/** @type {Column[]} */
export const PROCESSES = [
  { title: "PID", kind: "number", value: (row) => row.pid },
  { title: "Command", kind: "name", value: (row) => row.command },
  USER,
  {
    title: "Environment",
    kind: "name",
    value: (row) => row.unmanaged ? "outside genv" : row.environment ?? (row.unmanaged === null ? "unknown" : null),
    link: (row) => row.environment && !row.unmanaged ? address("env", row.eid) : null,
    severity: (row) => row.unmanaged ? "warning" : null,
  },
  DEVICES,
  number("Memory", (row) => row.memory_bytes, bytes),
  number("Utilisation", (row) => row.utilization, percent),
  { title: "Type", kind: "text", value: (row) => row.type },
  { title: "Started", kind: "number", value: (row) => row.started, show: (row, now) => row.started === null ? null : time(row.started, now) },
  { title: "Started by", kind: "name", value: (row) => row.started_by },
];

/** The three tables. */
export class Tables {
  constructor() {
    this.environments = new Table(byId("environments"), "environments", ENVIRONMENTS, (row) => row.eid, 0);
    this.users = new Table(byId("users"), "users", USERS, (row) => row.username, 0);
    this.processes = new Table(byId("processes"), "processes", PROCESSES, (row) => String(row.pid), 5);
  }

  /**
   * @param {any} data the overview
   * @param {number} now in seconds
   */
  update(data, now) {
    this.environments.update(data.environments, now);
    this.users.update(data.users, now);
    this.processes.update(data.processes, now);
  }
}
