/**
 * The view of one GPU: all that is known of it.
 * @module
 */

import { element, setAttribute, setContent } from "./dom.js";
import { Card } from "./card.js";
import { Charts } from "./charts.js";
import { problemItem } from "./problems.js";
import { environmentLink, userLink } from "./routes.js";
import { plainTable } from "./table.js";
import { PROCESSES } from "./tables.js";
import { problemsOf, stateText } from "./tiles.js";

/** Shows a GPU. */
export class DeviceView {
  /** @param {number} index NaN if the address names none */
  constructor(index) {
    this.index = index;
    this.card = new Card();
    this.charts = new Charts();
    this.state = element("p", { class: "state-line" });
    this.problems = element("ul", { class: "problems" });
    this.processes = element("div");
    this.neighbours = element("nav", { "aria-label": "Other GPUs", class: "neighbours" });
    this.found = element("div", {}, this.card.node, this.charts.node, element("h3", {}, "Processes"), this.processes);
    this.node = element("div", {}, this.state, this.problems, this.found, this.neighbours);
  }

  /** @param {any} data the overview */
  title(data) {
    const device = this.find(data);
    return device?.name ? `GPU ${this.index} · ${device.name}` : Number.isNaN(this.index) ? "GPU" : `GPU ${this.index}`;
  }

  /** @param {any} data the overview */
  find(data) {
    return (data.devices ?? []).find((/** @type {any} */ device) => device.index === this.index);
  }

  /**
   * @param {any} data the overview
   * @param {number} now in seconds
   */
  update(data, now) {
    const device = this.find(data);
    this.found.hidden = !device;
    setContent(this.problems, device ? problemsOf(data, this.index).map(problemItem) : []);
    setContent(this.neighbours, (data.devices ?? []).map((/** @type {any} */ one) => element("a",
      { href: `#gpu=${one.index}`, ...(one.index === this.index ? { "aria-current": "page" } : {}) }, `GPU ${one.index}`)));
    if (!device) {
      setContent(this.state, absent(data, this.index));
      return;
    }
    setContent(this.state, [element("span", { class: `badge ${device.state}` }, stateText(device, now)),
      ...(device.uuid ? [" ", element("code", {}, device.uuid)] : [])]);
    setAttribute(this.state, "class", "state-line");
    this.card.update(device);
    this.charts.update(device, data.devices.indexOf(device), data, now);
    const rows = (data.processes ?? []).filter((/** @type {any} */ process) => process.devices.includes(this.index));
    setContent(this.processes, data.processes === null ? [element("p", { class: "muted" }, "List of processes unavailable.")]
      : rows.length ? [plainTable("processes", PROCESSES, rows, now)] : [element("p", { class: "muted" }, "none")]);
  }
}

/**
 * @param {any} data the overview
 * @param {number} index
 */
function absent(data, index) {
  if (data.devices === null) return ["List of GPUs unavailable."];
  const lost = data.missing.find((/** @type {any} */ one) => one.index === index);
  if (!lost) return ["This machine has no GPU with this index."];
  const holders = lost.holders.flatMap((/** @type {any} */ holder, /** @type {number} */ place) => [place ? ", " : " Attached to: ",
    environmentLink(holder.eid, holder.name), ...(holder.username ? [" (", userLink(holder.username), ")"] : [])]);
  const more = lost.holders_total - lost.holders.length;
  return ["The driver no longer lists this GPU.", ...holders, ...(more > 0 ? [` and ${more} more`] : [])];
}
