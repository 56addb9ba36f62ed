/**
 * The top of the page: the problems, and the totals of the machine.
 * @module
 */

import { byId, element, name, setAttribute, setContent, setText } from "./dom.js";
import { counted, duration, percent, UNKNOWN } from "./format.js";

const WAITING = "The first collection is not finished yet. This page updates automatically.";

/** @typedef {import("./freshness.js").Freshness} Freshness */

/**
 * Show the age of the data and the problems.
 * @param {any} data the overview; null before the first one
 * @param {Freshness} freshness
 */
export function showState(data, freshness) {
  const problems = freshness.waiting ? [] : [...freshnessProblems(freshness), ...(data?.problems ?? [])];
  const errors = problems.filter((problem) => problem.severity === "error").length;
  const verdict = byId("verdict");
  const waiting = data === null || freshness.waiting;
  setText(verdict, freshness.waiting ? WAITING : verdictText(data, problems.length, errors));
  setAttribute(verdict, "class", errors ? "error" : problems.length ? "warning" : waiting ? "muted" : "good");
  setContent(byId("problems"), problems.map(item));
  const age = freshness.age;
  setText(byId("freshness"), age === null ? "no data yet" : `as of ${duration(age)} ago`);
  byId("freshness").classList.toggle("error", (freshness.stale && !freshness.waiting) || freshness.failure !== null);
}

/**
 * Show the totals.
 * @param {any} data the overview
 */
export function showGlance(data) {
  setText(byId("host"), data.host ?? "");
  document.title = `${data.problems.length ? `(${data.problems.length}) ` : ""}${data.host ?? ""} genv-monitor`.trim();
  byId("simulated").hidden = !data.simulated;
  setText(byId("version"), `genv-monitor ${data.version}`);
  setContent(byId("glance"), [
    tile("Driver", driverState(data), data.driver?.driver ? `version ${data.driver.driver}` : "", data.driver_state !== "ok"),
    tile("GPUs", number(data.devices), deviceNote(data.devices), false),
    tile("Environments", number(data.environments), environmentNote(data.environments), false),
    tile("Users", number(data.users), "", false),
    tile("GPU processes", number(data.processes), "", false),
    tile("Mean utilisation", percent(mean(data.devices)), "", false),
  ]);
}

/** @param {Freshness} freshness */
function freshnessProblems(freshness) {
  const found = [];
  if (freshness.failure !== null) {
    found.push({
      severity: "error",
      summary: freshness.failure,
      action: "See 'systemctl status genv-monitor'. This page retries automatically.",
      names: [],
    });
  } else if (freshness.stale) {
    found.push({
      severity: "error",
      summary: "The data is old: the monitor answers but no longer collects.",
      action: "See 'journalctl -u genv-monitor', and restart the monitor: 'systemctl restart genv-monitor'.",
      names: [],
    });
  }
  return found;
}

/**
 * @param {any} data
 * @param {number} all
 * @param {number} errors
 */
function verdictText(data, all, errors) {
  if (data === null && !all) return "Loading…";
  if (!all) return "No problems.";
  const warnings = all - errors;
  return [
    ...(errors ? [counted(errors, "error", "errors")] : []),
    ...(warnings ? [counted(warnings, "warning", "warnings")] : []),
  ].join(", ") + ":";
}

/** @param {any} problem */
function item(problem) {
  const lines = [element("p", { class: "what" }, `${problem.severity === "error" ? "" : "Warning: "}${problem.summary}`)];
  if (problem.names.length) {
    const more = problem.more ? [` and ${problem.more} more`] : [];
    const listed = problem.names.flatMap((/** @type {string} */ one, /** @type {number} */ place) => place ? [", ", name(one)] : [name(one)]);
    lines.push(element("p", {}, ...listed, ...more));
  }
  lines.push(element("p", {}, problem.action));
  if (problem.detail) lines.push(element("p", { class: "detail" }, "Error message: ", element("bdi", {}, problem.detail)));
  return element("li", { class: `problem ${problem.severity}` }, ...lines);
}

/**
 * @param {string} title
 * @param {string} value
 * @param {string} note
 * @param {boolean} wrong
 */
function tile(title, value, note, wrong) {
  const described = element("dd", wrong ? { class: "error" } : {}, value);
  if (note) described.append(" ", element("span", { class: "note" }, note));
  return element("div", {}, element("dt", {}, title), described);
}

/** @param {any} data */
function driverState(data) {
  return data.driver_state === "ok" ? "works" : data.driver_state.replaceAll("_", " ");
}

/** @param {any[] | null} things */
function number(things) {
  return things === null ? UNKNOWN : String(things.length);
}

/** @param {any[] | null} devices */
function deviceNote(devices) {
  const down = (devices ?? []).filter((device) => device.up === false).length;
  const free = (devices ?? []).filter((device) => device.up !== false && device.holders !== null && !device.holders_total).length;
  return [...(down ? [`${down} down`] : []), ...(free ? [`${free} not attached`] : [])].join(", ");
}

/** @param {any[] | null} environments */
function environmentNote(environments) {
  const idle = (environments ?? []).filter((environment) => environment.idle_since !== null).length;
  return idle ? `${idle} idle` : "";
}

/** @param {any[] | null} devices */
function mean(devices) {
  const known = (devices ?? []).map((device) => device.utilization).filter((value) => value !== null);
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
}
