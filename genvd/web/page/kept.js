/**
 * What a tab keeps of how its page was set, for when it is loaded again.
 * @module
 */

/**
 * @typedef {object} Setting of a table
 * @property {string} filter
 * @property {number} sortedBy
 * @property {boolean} descending
 */

/**
 * Return what was kept; null if nothing was, or not in this form.
 * @param {string} key
 * @returns {Setting | null}
 */
export function kept(key) {
  try {
    const found = JSON.parse(sessionStorage.getItem(key) ?? "null");
    const whole = typeof found?.filter === "string" && Number.isInteger(found.sortedBy) && typeof found.descending === "boolean";
    return whole ? found : null;
  } catch { // a browser may refuse it, as one that keeps nothing of any site
    return null;
  }
}

/**
 * Keep it, if the browser lets us.
 * @param {string} key
 * @param {Setting} setting
 */
export function keep(key, setting) {
  try {
    sessionStorage.setItem(key, JSON.stringify(setting));
  } catch {
    // Then it is lost with the page.
  }
}
