/**
 * Requests the data of the page after each collection; while the page is hidden once a minute, for its title.
 * @module
 */

import { NO_ANSWER } from "./freshness.js";

const URL = "page/data.json";
const FIRST_SECONDS = 1;
const MIN_SECONDS = 1;
const MAX_SECONDS = 15;
const HIDDEN_SECONDS = 60;
const TIMEOUT_SECONDS = 20;

/**
 * @typedef {object} Listener
 * @property {(data: any) => void} changed called with new data
 * @property {() => void} waiting called before the first collection
 * @property {(now: number) => void} answered called after each answer with the monitor's time, in seconds
 * @property {(reason: string) => void} failed called with the reason
 */

/** Polls the monitor. */
export class Poller {
  /** @param {Listener} listener */
  constructor(listener) {
    this.listener = listener;
    /** @type {string | null} */
    this.tag = null;
    this.seconds = FIRST_SECONDS;
    /** @type {number | undefined} */
    this.timer = undefined;
    this.requesting = false;
  }

  /** Start polling; it ends when the page is closed. */
  start() {
    document.addEventListener("visibilitychange", () => { if (document.hidden) this.wait(); else this.poll(); });
    this.poll();
  }

  poll() {
    clearTimeout(this.timer);
    if (!this.requesting) void this.request();
  }

  wait() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.poll(), (document.hidden ? HIDDEN_SECONDS : this.seconds) * 1000);
  }

  async request() {
    this.requesting = true;
    try {
      await this.handle(await fetch(URL, {
        cache: "no-store",
        headers: this.tag ? { "If-None-Match": this.tag } : {},
        signal: AbortSignal.timeout(TIMEOUT_SECONDS * 1000),
      }));
    } catch {
      this.listener.failed(NO_ANSWER);
    }
    this.requesting = false;
    this.wait();
  }

  /** @param {Response} response */
  async handle(response) {
    if (response.status === 200) {
      const data = await response.json();
      if (data === null) {
        this.waitForFirst();
        return;
      }
      this.tag = response.headers.get("ETag");
      this.seconds = Math.min(MAX_SECONDS, Math.max(MIN_SECONDS, data.interval_seconds ?? MAX_SECONDS));
      this.listener.changed(data);
    } else if (response.status !== 304) {
      this.listener.failed((await response.text()).trim() || `The monitor answered with status ${response.status}.`);
      return;
    }
    this.listener.answered(Date.parse(response.headers.get("Date") ?? "") / 1000 || Date.now() / 1000);
  }

  waitForFirst() {
    this.tag = null;
    this.seconds = FIRST_SECONDS;
    this.listener.waiting();
  }
}
