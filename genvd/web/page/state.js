/**
 * The first line: which GPUs are free, how many people are there, what is held idle, what is broken. And whether the
 * monitor still answers, which the title of the tab says too.
 * @module
 */

import { byId, element, setAttribute, setContent, setText } from "./dom.js";
import { counted, duration, zone } from "./format.js";
import { problemItem } from "./problems.js";
import { gpuLinks } from "./routes.js";

const WAITING = "The first collection is not finished yet. This page updates automatically.";

/** @typedef {import("./freshness.js").Freshness} Freshness */

/**
 * Show the first line, the age of the data, and what is wrong with it.
 * @param {any} data the overview; null before the first one
 * @param {Freshness} freshness
 * @param {string} place what the page shows of the machine, for the title; empty for all
 */
export function showState(data, freshness, place) {
  const line = byId("verdict");
  const age = freshness.age;
  const old = age !== null && (freshness.stale || freshness.silence !== null);
  setContent(byId("outages"), outages(freshness).map(problemItem));
  setContent(line, freshness.waiting ? [WAITING] : data === null ? [freshness.silence === null ? "Loading…" : ""] : firstLine(data, old ? age : null));
  setAttribute(line, "class", freshness.waiting || data === null ? "muted" : old ? "old" : null);
  document.body.classList.toggle("old", old && !freshness.waiting);
  setText(byId("freshness"), age === null ? "no data yet" : `as of ${duration(age)} ago`);
  setAttribute(byId("freshness"), "title", age === null ? null : `Times are in ${zone()}`);
  byId("freshness").classList.toggle("error", old && !freshness.waiting);
  document.title = title(data, freshness, place);
}

/**
 * Show what does not depend on the age of the data.
 * @param {any} data the overview
 */
export function showMachine(data) {
  setText(byId("host"), data.host || "genv-monitor");
  byId("simulated").hidden = !data.simulated;
  const driver = data.driver?.driver ? `driver ${data.driver.driver}` : `driver ${data.driver_state.replaceAll("_", " ")}`;
  const cuda = data.driver?.cuda ? [`CUDA up to ${data.driver.cuda}`] : [];
  setText(byId("version"), [`genv-monitor ${data.version}`, driver, ...cuda, `times in ${zone()}`].join(" · "));
}

/**
 * @param {any} data
 * @param {number | null} age in seconds, of data that is too old; else null
 */
function firstLine(data, age) {
  const { text, free, idle, down, unknown, people } = data.summary;
  const [head] = text.split(/[:;]/);
  const listed = free?.length ? [": ", ...gpuLinks(free)] : [];
  const rest = unknown ? [`; ${unknown} not known`] : [];
  const held = idle?.length === 1 ? "1 GPU held idle" : `${idle?.length} GPUs held idle`;
  return [
    ...(age === null ? [] : [`${duration(age)} ago: `]),
    element("strong", { class: free?.length && age === null ? "good" : "" }, head, ...listed, ...rest),
    ...[
      people === null ? ["people not known"] : [element("a", { href: "#users" }, counted(people, "person", "people"))],
      ...(idle === null ? data.devices === null ? [] : ["idle GPUs not known"] : [idle.length ? [element("a", { href: "#talks", class: "warning" }, held)] : [held]]),
      ...(down === null ? [] : [down ? [element("a", { href: "#problems", class: "error" }, `${down} broken`)] : ["0 broken"]]),
    ].flatMap((part) => [" · ", ...part]),
  ];
}

/**
 * @param {any} data
 * @param {Freshness} freshness
 * @param {string} place
 */
function title(data, freshness, place) {
  const host = data?.host || "genv-monitor";
  const of = place ? `${place} – ${host}` : host;
  if (freshness.silence !== null) return `No answer – ${of}`;
  if (freshness.waiting) return `Waiting – ${of}`;
  if (freshness.stale) return `Old data – ${of}`;
  if (data === null) return of;
  const found = data.problems.filter((/** @type {any} */ problem) => !problem.people).length;
  const { free, gpus } = data.summary;
  const state = place || free === null || !gpus ? "" : `: ${free.length} of ${gpus} free`;
  return `${found ? `(${found}) ` : ""}${of}${state}`;
}

/** @param {Freshness} freshness */
function outages(freshness) {
  const found = { severity: "error", names: [], devices: [], more: 0, detail: null };
  if (freshness.waiting) return [];
  if (freshness.silence !== null) {
    return [{
      ...found,
      summary: freshness.silence,
      action: "See 'systemctl status genv-monitor'. This page retries automatically.",
      alert: "GenvMonitorDown",
    }];
  }
  if (!freshness.stale) return [];
  return [{
    ...found,
    summary: "The data is old: the monitor answers but no longer collects.",
    action: "See 'journalctl -u genv-monitor', and restart the monitor: 'systemctl restart genv-monitor'.",
    alert: "GenvMonitorStale",
  }];
}
