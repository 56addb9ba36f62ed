/**
 * The age of the data, by the clock of the monitor, which may differ from that of the browser.
 * @module
 */

const STALE_INTERVALS = 3;
const STALE_SECONDS = 5;
export const NO_ANSWER = "The monitor does not answer.";

/** Tracks the time of the last collection and the clock of the monitor. */
export class Freshness {
  constructor() {
    /** @type {number | null} */
    this.collected = null;
    this.interval = 10;
    this.answerTime = 0;
    this.answeredAt = 0;
    /** @type {string | null} why the last request failed */
    this.failure = null;
    /** Whether the monitor has not finished its first collection. */
    this.waiting = false;
  }

  setWaiting() {
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
    this.answerTime = now;
    this.answeredAt = performance.now();
  }

  /** @param {string} reason */
  failed(reason) {
    this.failure = reason;
    this.waiting = false;
  }

  /** The time by the monitor's clock, in seconds. */
  get now() {
    return this.answerTime + (performance.now() - this.answeredAt) / 1000;
  }

  /** Seconds since the last collection; null before the first one. */
  get age() {
    return this.collected === null ? null : Math.max(0, this.now - this.collected);
  }

  /** Whether the data is too old. */
  get stale() {
    return this.age !== null && this.isOld(this.age);
  }

  /**
   * Why there is no newer answer: the last request failed, or the data has become too old since the last answer, while
   * a request still waits. Null if the monitor answers.
   * @returns {string | null}
   */
  get silence() {
    if (this.failure !== null || this.collected === null || this.waiting) return this.failure;
    return this.stale && !this.isOld(this.answerTime - this.collected) ? NO_ANSWER : null;
  }

  /** @param {number} seconds */
  isOld(seconds) {
    return seconds > STALE_INTERVALS * this.interval + STALE_SECONDS;
  }
}
