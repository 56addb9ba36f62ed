/**
 * What became of each hour of a GPU: who had it, and for which part of the hour.
 * @module
 */

import { name } from "./dom.js";

const HOUR = 3600;
const NEGLIGIBLE = 60;
const MAX_NAMED = 4;

/**
 * @typedef {object} Cell
 * @property {string} user empty if unknown
 * @property {number} used seconds in which the user used the GPU, or had it and nobody knows whether it was used
 * @property {number} idle seconds in which the GPU was attached and idle
 * @property {number} outside seconds of those used that were outside genv
 */

/**
 * @typedef {object} Hour
 * @property {Cell[]} cells
 * @property {number} seconds its length: the current hour is as long as it has lasted
 * @property {number} others seconds in which users had the GPU who are not shown
 * @property {number} down seconds
 * @property {number} free seconds
 * @property {number} unknown seconds, such as while the monitor did not run
 * @property {boolean} outside whether the GPU was used outside genv for most of the time that it was used
 */

/**
 * Return the hours of a GPU.
 * @param {any} device
 * @param {any} grid
 * @param {number} now in seconds
 * @returns {Hour[]}
 */
export function cellsByHour(device, grid, now) {
  const states = new Map(device.states.map((/** @type {number[]} */ [hour, ...amounts]) =>
    [hour, Object.fromEntries(amounts.map((amount, number) => [grid.states[number + 1], amount]))]));
  /** @type {Map<number, Cell[]>} */
  const cells = new Map();
  for (const [hour, user, attached, active, idle, outside] of device.cells) {
    const cell = {
      user: grid.users[user],
      used: Math.max(active ?? 0, (attached ?? 0) - (idle ?? 0)) + (outside ?? 0),
      idle: idle ?? 0,
      outside: outside ?? 0,
    };
    cells.set(hour, [...cells.get(hour) ?? [], cell]);
  }
  return Array.from({ length: grid.hours }, (_, hour) => hourOf(
    cells.get(hour) ?? [], states.get(hour), Math.max(1, Math.min(HOUR, now - grid.since_timestamp_seconds - hour * HOUR))));
}

/**
 * @param {Cell[]} cells
 * @param {Record<string, number> | undefined} states seconds by state; without them the ledger knows only who had it
 * @param {number} seconds the length of the hour
 * @returns {Hour}
 */
function hourOf(cells, states, seconds) {
  const shown = cells.reduce((sum, cell) => sum + cell.used + cell.idle, 0);
  const taken = states ? states.active + states.idle + states.attached + states.outside : shown;
  const others = taken - shown;
  const known = states ? taken + states.down + states.free : cells.length ? seconds : 0;
  const outside = cells.reduce((sum, cell) => sum + cell.outside, 0);
  cells.sort((a, b) => b.used + b.idle - a.used - a.idle || a.user.localeCompare(b.user));
  return {
    cells,
    seconds,
    others: others < NEGLIGIBLE ? 0 : others,
    down: states?.down ?? 0,
    free: states?.free ?? 0,
    unknown: seconds - known < NEGLIGIBLE ? 0 : seconds - known,
    outside: outside > shown / 2 && outside > seconds / 10,
  };
}

/**
 * Return stretches of hours in which the same user had most of the GPU.
 * @param {Hour[]} hours
 */
export function runs(hours) {
  /** @type {{user: string, start: number, length: number}[]} */
  const found = [];
  hours.forEach((hour, number) => {
    const first = hour.cells[0];
    if (!first || first.used + first.idle < hour.seconds / 4) return;
    const last = found.at(-1);
    if (last && last.user === first.user && last.start + last.length === number) last.length += 1;
    else found.push({ user: first.user, start: number, length: 1 });
  });
  return found;
}

/**
 * Return an hour in words, in which names keep their own direction of writing.
 * @param {Hour} hour
 * @returns {(Node | string)[]}
 */
export function hourInWords(hour) {
  const named = hour.cells.slice(0, MAX_NAMED).map((cell) => [name(cell.user || "unknown user", false), ` ${minutes(cell.used + cell.idle)}${details(cell)}`]);
  const more = hour.cells.length - named.length;
  const parts = [
    ...named,
    ...(more > 0 ? [[`and ${more} more`]] : []),
    ...(hour.others ? [[`others ${minutes(hour.others)}`]] : []),
    ...(hour.down >= NEGLIGIBLE ? [[`down ${minutes(hour.down)}`]] : []),
    ...(hour.free >= NEGLIGIBLE ? [[`free ${minutes(hour.free)}`]] : []),
    ...(hour.unknown ? [[`not known ${minutes(hour.unknown)}`]] : []),
  ];
  return parts.length ? parts.flatMap((part, number) => number ? [", ", ...part] : part) : ["nobody"];
}

/** @param {Cell} cell */
function details(cell) {
  const parts = [
    ...(cell.idle >= NEGLIGIBLE ? [`${minutes(cell.idle)} idle`] : []),
    ...(cell.outside >= NEGLIGIBLE ? [cell.outside >= cell.used + cell.idle ? "outside genv" : `${minutes(cell.outside)} outside genv`] : []),
  ];
  return parts.length ? ` (${parts.join(", ")})` : "";
}

/** @param {number} seconds */
function minutes(seconds) {
  return seconds < NEGLIGIBLE ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}
