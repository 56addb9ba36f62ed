/**
 * The curves of a GPU: of the last hour, which comes with the data, or of the last day, which is requested when wanted.
 * @module
 */

import { element, setAttribute, setText } from "./dom.js";
import { Chart } from "./chart.js";
import { celsius, percent, watts } from "./format.js";

const DAY_URL = "page/day.json";
const HOT_CELSIUS = 100;
const HOUR = { name: "last hour", span: 3600, step: 30 };
const DAY = { name: "last 24 hours", span: 86400, step: 120 };

/** The curves of one GPU, with a choice of the period. */
export class Charts {
  constructor() {
    this.period = HOUR;
    /** @type {any} the last day of all GPUs, as it was requested */
    this.day = null;
    this.requestedAt = 0;
    /** @type {any} */
    this.shown = null;
    this.charts = { utilization: new Chart("Utilisation"), memory: new Chart("Memory"), temperature: new Chart("Temperature"), power: new Chart("Power") };
    this.buttons = [HOUR, DAY].map((period) => {
      const button = element("button", { type: "button" }, period.name);
      button.addEventListener("click", () => { this.period = period; this.render(); });
      return button;
    });
    this.note = element("span", { class: "muted", role: "status" });
    this.node = element("section", { class: "charts", "aria-label": "Curves" },
      element("div", { class: "choice", role: "group", "aria-label": "Period" }, ...this.buttons, this.note),
      element("div", { class: "chart-grid" }, ...Object.values(this.charts).map((chart) => chart.node)));
  }

  /**
   * @param {any} device a row of the overview
   * @param {number} place of the GPU among all
   * @param {any} data the overview
   * @param {number} now in seconds
   */
  update(device, place, data, now) {
    this.shown = { device, place, data, now };
    this.render();
  }

  render() {
    const { device, place, data, now } = this.shown;
    this.buttons.forEach((button, number) => setAttribute(button, "aria-pressed", String(this.period === [HOUR, DAY][number])));
    if (this.period === DAY && now - this.requestedAt > DAY.step) void this.request(now);
    const history = this.period === DAY ? this.day : data.history;
    const curves = history?.devices[place] ?? {};
    const step = Math.max(this.period.step, data.interval_seconds ?? 0);
    const most = Math.max(1, device.power_limit_watts ?? 0, ...(curves.power ?? []));
    const scales = { utilization: [1, percent], memory: [1, percent], temperature: [HOT_CELSIUS, celsius], power: [most, watts] };
    for (const [name, chart] of Object.entries(this.charts)) {
      const [top, show] = /** @type {any} */ (scales)[name];
      chart.draw({ times: history?.times ?? [], values: curves[name] ?? [], most: top, now, span: this.period.span, step, show },
        this.period.name, `GPU ${device.index}`);
    }
  }

  /** @param {number} now in seconds */
  async request(now) {
    this.requestedAt = now;
    setText(this.note, this.day ? "" : "Loading…");
    try {
      const answer = await fetch(DAY_URL);
      if (!answer.ok) throw new Error(String(answer.status));
      this.day = await answer.json();
      setText(this.note, "Kept in memory: it begins when the monitor starts. Prometheus keeps longer.");
    } catch {
      setText(this.note, "The last 24 hours could not be loaded.");
    }
    if (this.shown) this.render();
  }
}
