/**
 * How old the facts are, by the clock of the monitor, which may differ from that of the browser.
 * @module
 */

const LATE_INTERVALS = 3;
const LATE_SECONDS = 5;

/** Knows when the facts were collected and what time it is there. */
export class Freshness {
  constructor() {
    /** @type {number | null} */
    this.collected = null;
    this.interval = 10;
    this.told = 0;
    this.toldAt = 0;
    /** @type {string | null} why there is no answer */
    this.failure = null;
    /** Whether the monitor has begun and collected nothing yet. */
    this.waiting = false;
  }

  waits() {
    this.failure = null;
    this.waiting = true;
  }

  /** @param {{timestamp: number, interval_seconds: number | null}} data */
  changed(data) {
    this.collected = data.timestamp;
    this.interval = data.interval_seconds ?? this.interval;
  }

  /** @param {number} now by the monitor's clock */
  answered(now) {
    this.failure = null;
    this.waiting = false;
    this.told = now;
    this.toldAt = performance.now();
  }

  /** @param {string} reason */
  failed(reason) {
    this.failure = reason;
    this.waiting = false;
  }

  /** The time by the monitor's clock, in seconds. */
  get now() {
    return this.told + (performance.now() - this.toldAt) / 1000;
  }

  /** Seconds since the facts were collected; null before there are any. */
  get age() {
    return this.collected === null ? null : Math.max(0, this.now - this.collected);
  }

  /** Whether the facts are older than they should ever be. */
  get stale() {
    return this.age !== null && this.age > LATE_INTERVALS * this.interval + LATE_SECONDS;
  }
}
