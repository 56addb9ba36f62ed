/**
 * Whom to talk to: who holds GPUs idle, who breaks a limit, who runs outside genv. And who used how much.
 * @module
 */

import { byId, element, name, setContent } from "./dom.js";
import { Folded } from "./folded.js";
import { duration, hours, percent } from "./format.js";
import { runbookLink } from "./problems.js";
import { environmentLink, userLink, withGpuLinks } from "./routes.js";

const FIRST = 8;
const FIRST_USERS = 5;

const list = new Folded("talk-list", "entries", FIRST);

/**
 * @param {any} data the overview
 * @param {number} now in seconds
 */
export function showTalks(data, now) {
  const more = data.talks_total - data.talks.length;
  setContent(byId("talks-title"), [data.talks.length ? `To talk to (${data.talks_total})` : "To talk to"]);
  list.update([
    ...(data.talks.length ? [] : [element("li", { class: "muted" }, talkless(data))]),
    ...data.talks.map((/** @type {any} */ talk) => talkItem(talk, now)),
  ], more);
}

/** @param {any} data */
function talkless(data) {
  return data.environments === null || data.processes === null ? "not known" : "nobody";
}

/**
 * Return an item of the list of whom to talk to.
 * @param {any} talk
 * @param {number} now in seconds
 */
export function talkItem(talk, now) {
  const what = talk.eid === null ? name(talk.name ?? "process") : environmentLink(talk.eid, talk.name);
  const since = talk.since === null ? [] : [" for ", element("strong", {}, duration(now - talk.since))];
  const also = talk.also === null ? [] : [", ", ...withGpuLinks(talk.also)];
  return element("li", { class: `talk ${talk.kind === "idle" ? "held-idle" : talk.severity}` },
    element("strong", {}, userLink(talk.username)), " ", what, " ", element("span", { class: "told" }, ...withGpuLinks(talk.text), ...since, ...also),
    " ", runbookLink(talk.alert));
}

/**
 * Show who used how much.
 * @param {any} data the overview
 */
export function showUsage(data) {
  byId("used").hidden = !data.usage?.length;
  if (!data.usage?.length) return;
  const most = Math.max(...data.usage.map((/** @type {any} */ user) => user.attached_seconds + (user.outside_seconds ?? 0)), 1);
  setContent(byId("usage-list"), [
    element("ul", { class: "usage" }, ...data.usage.slice(0, FIRST_USERS).map((/** @type {any} */ user) => usageItem(user, most))),
    element("p", { class: "muted small" }, "GPU-hours since the ledger was created: ", swatch("part-0", "active"), ", ",
      swatch("idle", "held idle"), ", ", swatch("outside", "outside genv"), ". ", element("a", { href: "#usage" }, "By day, week, month and hour")),
  ]);
}

/**
 * @param {any} user
 * @param {number} most GPU-seconds of the longest bar
 */
function usageItem(user, most) {
  const bar = element("span", { class: "bar", "aria-hidden": "true" });
  const held = user.active_seconds === null || user.idle_seconds === null
    ? [["part-6", user.attached_seconds]]
    : [["part-0", user.active_seconds], ["idle", user.idle_seconds], ["part-6", rest(user)]];
  for (const [style, seconds] of [...held, ["outside", user.outside_seconds ?? 0]]) {
    const part = element("span", { class: style });
    part.style.width = `${100 * seconds / most}%`;
    bar.append(part);
  }
  return element("li", {}, userLink(user.username), bar, element("span", { class: "number" }, usageText(user)));
}

/** @param {any} user */
function rest(user) {
  return Math.max(0, user.attached_seconds - user.active_seconds - user.idle_seconds);
}

/**
 * Return the GPU time of a user in words.
 * @param {any} user
 */
export function usageText(user) {
  const idle = user.idle_seconds === null || !user.attached_seconds ? "" : `, ${percent(user.idle_seconds / user.attached_seconds)} idle`;
  const attached = `${hours(user.attached_seconds)} GPU-h${idle}`;
  if (!user.outside_seconds) return attached;
  const outside = hours(user.outside_seconds);
  return user.attached_seconds ? `${attached}, ${outside} outside` : `${outside} GPU-h outside`;
}

/**
 * @param {string} style
 * @param {string} text
 */
function swatch(style, text) {
  return element("span", {}, element("span", { class: `swatch ${style}` }), text);
}
