/**
 * Formats values for people; an unknown value is a dash.
 * @module
 */

export const UNKNOWN = "–";

/** @param {number | null} value */
export function bytes(value) {
  if (value === null) return UNKNOWN;
  if (value < 2 ** 30) return `${Math.round(value / 2 ** 20)} MiB`;
  const gib = value / 2 ** 30;
  return `${gib.toFixed(gib < 100 ? 1 : 0)} GiB`;
}

/**
 * @param {string} used
 * @param {string} total in the same unit
 */
export function outOf(used, total) {
  if (total === UNKNOWN) return used;
  const unit = total.split(" ").at(-1) ?? "";
  return `${used.endsWith(unit) ? used.slice(0, -unit.length).trim() : used} of ${total}`;
}

/**
 * Format used and total memory in few characters.
 * @param {number} used
 * @param {number | null} total
 */
export function memoryText(used, total) {
  const short = (/** @type {number} */ value) => value < 0.05 ? "0" : value.toFixed(value < 10 && value % 1 ? 1 : 0);
  return `${short(used / 2 ** 30)}${total ? ` of ${short(total / 2 ** 30)}` : ""} GiB`;
}

/** @param {number | null} ratio of 1 */
export function percent(ratio) {
  return ratio === null ? UNKNOWN : `${Math.round(ratio * 100)} %`;
}

/** @param {number | null} value */
export function celsius(value) {
  return value === null ? UNKNOWN : `${Math.round(value)} °C`;
}

/** @param {number | null} value */
export function watts(value) {
  return value === null ? UNKNOWN : `${Math.round(value)} W`;
}

/** @param {number | null} value */
export function count(value) {
  return value === null ? UNKNOWN : String(value);
}

/**
 * @param {number | null} value
 * @param {string} one
 * @param {string} many
 */
export function counted(value, one, many) {
  return value === null ? `${many} unknown` : `${value} ${value === 1 ? one : many}`;
}

/** @param {number | null} seconds */
export function duration(seconds) {
  if (seconds === null) return UNKNOWN;
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} d`;
}

/**
 * Format GPU-seconds as hours.
 * @param {number} seconds
 */
export function hours(seconds) {
  const value = seconds / 3600;
  return value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
}

/** @param {number[]} indices */
export function indices(indices) {
  return indices.length ? indices.join(", ") : UNKNOWN;
}

/**
 * Format a time; with the date if it is not today.
 * @param {number} timestamp in seconds
 * @param {number} now in seconds
 */
export function time(timestamp, now) {
  const moment = new Date(timestamp * 1000);
  if (Number.isNaN(moment.getTime())) return UNKNOWN;
  return now - timestamp < 86400 && moment.getDate() === new Date(now * 1000).getDate()
    ? clock(timestamp)
    : `${moment.toLocaleDateString()} ${clock(timestamp)}`;
}

/**
 * Format a time of day.
 * @param {number} timestamp in seconds
 */
export function clock(timestamp) {
  return new Date(timestamp * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

/** Return the name of the time zone of the browser, in which times are shown. */
export function zone() {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  const minutes = -new Date().getTimezoneOffset();
  const offset = `UTC${minutes < 0 ? "−" : "+"}${Math.floor(Math.abs(minutes) / 60)}${minutes % 60 ? `:${String(Math.abs(minutes) % 60).padStart(2, "0")}` : ""}`;
  return !timeZone || timeZone === "UTC" ? (minutes ? offset : "UTC") : `${timeZone} (${offset})`;
}
