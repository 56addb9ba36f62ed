/**
 * Asks the monitor for what to show, again and again, but not while nobody looks.
 * @module
 */

const URL = "page/data.json";
const FIRST_SECONDS = 1;
const SHORTEST_SECONDS = 1;
const LONGEST_SECONDS = 15;
const PATIENCE_SECONDS = 20;

/**
 * @typedef {object} Listener
 * @property {(data: any) => void} changed what there is now
 * @property {() => void} waits as nothing was collected yet
 * @property {(now: number) => void} answered the time by the monitor's clock, in seconds
 * @property {(reason: string) => void} failed why there is no answer
 */

/** The monitor, as far as this page asks it. */
export class Source {
  /** @param {Listener} listener */
  constructor(listener) {
    this.listener = listener;
    /** @type {string | null} */
    this.tag = null;
    this.seconds = FIRST_SECONDS;
    /** @type {number | undefined} */
    this.timer = undefined;
    this.asking = false;
  }

  /** Begin; it goes on until the page is closed. */
  start() {
    document.addEventListener("visibilitychange", () => this.look());
    this.look();
  }

  look() {
    clearTimeout(this.timer);
    if (!document.hidden && !this.asking) void this.ask();
  }

  async ask() {
    this.asking = true;
    try {
      await this.take(await fetch(URL, {
        cache: "no-store",
        headers: this.tag ? { "If-None-Match": this.tag } : {},
        signal: AbortSignal.timeout(PATIENCE_SECONDS * 1000),
      }));
    } catch {
      this.listener.failed("The monitor does not answer.");
    }
    this.asking = false;
    this.timer = setTimeout(() => this.look(), this.seconds * 1000);
  }

  /** @param {Response} response */
  async take(response) {
    if (response.status === 200) {
      const data = await response.json();
      if (data === null) {
        this.waitFor();
        return;
      }
      this.tag = response.headers.get("ETag");
      this.seconds = Math.min(LONGEST_SECONDS, Math.max(SHORTEST_SECONDS, data.interval_seconds ?? LONGEST_SECONDS));
      this.listener.changed(data);
    } else if (response.status !== 304) {
      this.listener.failed((await response.text()).trim() || `The monitor answers with status ${response.status}.`);
      return;
    }
    this.listener.answered(Date.parse(response.headers.get("Date") ?? "") / 1000 || Date.now() / 1000);
  }

  waitFor() {
    this.tag = null;
    this.seconds = FIRST_SECONDS;
    this.listener.waits();
  }
}
