/**
 * The problems of the machine and of the monitor. What concerns users is in the list of whom to talk to.
 * @module
 */

import { byId, element, name, setContent } from "./dom.js";
import { Folded } from "./folded.js";
import { separated, withGpuLinks } from "./routes.js";

const FIRST = 4;

const list = new Folded("problem-list", "problems", FIRST);

/**
 * Show the problems.
 * @param {any} data the overview
 */
export function showProblems(data) {
  const found = data.problems.filter((/** @type {any} */ problem) => !problem.people);
  setContent(byId("problems-title"), [found.length ? `Problems (${found.length})` : "No problems"]);
  list.update(found.map(problemItem));
}

/**
 * Return an item of a list of problems.
 * @param {any} problem
 * @returns {HTMLElement}
 */
export function problemItem(problem) {
  const lines = [element("p", { class: "what" }, ...(problem.severity === "error" ? [] : [element("span", { class: "hidden" }, `${problem.severity}: `)]), ...withGpuLinks(problem.summary))];
  if (problem.names.length) {
    const more = problem.more ? [` and ${problem.more} more`] : [];
    lines.push(element("p", { class: "who" }, ...separated(problem.names.map(name)), ...more));
  }
  lines.push(element("p", {}, problem.action, ...(problem.alert ? [" ", runbookLink(problem.alert)] : [])));
  if (problem.detail) lines.push(element("p", { class: "detail" }, "Error message: ", element("bdi", {}, problem.detail)));
  return element("li", { class: `problem ${problem.severity}` }, ...lines);
}

/**
 * Return a link to what to do about an alert.
 * @param {string} alert
 * @param {string} [text]
 */
export function runbookLink(alert, text = "What to do") {
  return element("a", { class: "runbook", href: `page/docs/runbook.html#${alert.toLowerCase()}`, "aria-label": `${text}: ${alert} in the runbook` }, text);
}
