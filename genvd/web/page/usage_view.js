/**
 * Who used how much in the last day, week or month: sums by user, and a grid of GPUs and hours.
 * @module
 */

import { element, setAttribute, setContent, setText } from "./dom.js";
import { zone } from "./format.js";
import { loadText, saveText } from "./settings.js";
import { capacityParts, UsageTable } from "./usage_table.js";
import { UsageGrid } from "./usage_grid.js";

const USAGE_URL = "api/v1/usage";
const REFRESH_SECONDS = 60;
const SAVED_PERIOD = "usage-period";
const PERIODS = [
  { key: "24h", name: "24 hours", hours: 24 },
  { key: "7d", name: "7 days", hours: 7 * 24 },
  { key: "30d", name: "30 days", hours: 30 * 24 },
];

/** Shows the usage of everybody, or of one user. */
export class UsageView {
  /** @param {string | null} user null for everybody */
  constructor(user = null) {
    this.user = user;
    this.period = PERIODS.find((one) => one.key === loadText(SAVED_PERIOD)) ?? PERIODS[1];
    /** @type {any} the last document */
    this.document = null;
    this.requestedAt = -Infinity;
    this.requests = 0;
    this.now = 0;
    this.hasLedger = false;
    this.buttons = PERIODS.map((period) => {
      const button = element("button", { type: "button" }, period.name);
      button.addEventListener("click", () => this.choose(period));
      return button;
    });
    this.note = element("span", { class: "muted", role: "status" });
    this.privacy = element("p", { class: "problem info" });
    this.capacity = element("div");
    this.table = new UsageTable(user === null ? "Usage by user" : "Usage of this user");
    this.grid = new UsageGrid();
    this.found = element("div", {}, this.capacity, this.table.node, this.grid.node);
    this.node = element("section", { class: "usage-view", "aria-label": "GPU time" },
      element("div", { class: "choice", role: "group", "aria-label": "Period" }, ...this.buttons, this.note), this.privacy, this.found);
    this.privacy.hidden = this.found.hidden = true;
  }

  title() {
    return "Usage";
  }

  /**
   * @param {any} data the overview
   * @param {number} now in seconds
   */
  update(data, now) {
    this.now = now;
    this.hasLedger = data.has_ledger;
    this.render();
  }

  render() {
    this.buttons.forEach((button, number) => setAttribute(button, "aria-pressed", String(this.period === PERIODS[number])));
    if (!this.hasLedger) this.show(null, "The ledger is off; see ledger.enabled in monitor.yaml.");
    else if (this.now - this.requestedAt >= REFRESH_SECONDS) void this.request();
  }

  /** @param {typeof PERIODS[0]} period */
  choose(period) {
    this.period = period;
    saveText(SAVED_PERIOD, period.key);
    this.requestedAt = -Infinity;
    this.showSums();
    this.render();
  }

  async request() {
    const number = ++this.requests;
    const period = this.period;
    this.requestedAt = this.now;
    if (this.found.hidden) setText(this.note, "Loading…");
    const limit = this.user === null ? {} : { user: this.user };
    try {
      const answer = await fetch(`${USAGE_URL}?${new URLSearchParams({ hours: String(period.hours), ...limit })}`);
      const document = answer.ok ? await answer.json() : null;
      const refusal = answer.ok ? "" : (await answer.text()).trim();
      if (number !== this.requests) return;
      if (answer.status >= 500 && this.document !== null) setText(this.note, refusal); // what was known is still shown
      else this.show(document, refusal || `The monitor answered with status ${answer.status}.`);
    } catch {
      if (number === this.requests) setText(this.note, "The usage could not be loaded. This page retries automatically.");
    }
  }

  /**
   * @param {any} document null if it was refused
   * @param {string} refusal why
   */
  show(document, refusal) {
    this.found.hidden = document === null;
    this.document = document;
    if (document === null) {
      setText(this.note, refusal);
      this.privacy.hidden = true;
      return;
    }
    const everybody = document.periods["30d"].users.map((/** @type {any} */ one) => one.username);
    setText(this.note, `until now, in GPU-hours, times in ${zone()}`);
    this.privacy.hidden = document.visible === "all";
    setContent(this.privacy, privacy(document.login));
    this.showSums();
    this.grid.update(document.grid, everybody, document.timestamp_seconds);
  }

  /** Show the sums of the period; the document has those of all periods. */
  showSums() {
    if (this.document === null) return;
    const period = this.document.periods[this.period.key];
    setContent(this.capacity, capacityParts(period.capacity_device_seconds));
    this.table.update(period.users, period.total);
  }
}

/** @param {string | null} login who has logged in */
function privacy(login) {
  const more = element("a", { href: "page/docs/trust.html#private-usage" }, "More");
  return [element("span", {}, login === null
    ? "Usage is private here, so only sums are shown. To see your own, ask the administrator for a login (basic_auth_users). "
    : `Usage is private here: you see sums, and that of ${login}. `, more)];
}
