/**
 * Saves the settings of the tables in the session storage of the tab, for the next reload.
 * @module
 */

/**
 * @typedef {object} TableSettings
 * @property {string} filter
 * @property {number} sortedBy
 * @property {boolean} descending
 */

/**
 * Return the saved settings; null if there are none, or in another form.
 * @param {string} key
 * @returns {TableSettings | null}
 */
export function loadSettings(key) {
  try {
    const found = JSON.parse(sessionStorage.getItem(key) ?? "null");
    const valid = typeof found?.filter === "string" && Number.isInteger(found.sortedBy) && typeof found.descending === "boolean";
    return valid ? found : null;
  } catch { // the browser may forbid storage
    return null;
  }
}

/**
 * Save settings, if the browser allows it.
 * @param {string} key
 * @param {TableSettings} settings
 */
export function saveSettings(key, settings) {
  try {
    sessionStorage.setItem(key, JSON.stringify(settings));
  } catch {
    // They are lost when the page is reloaded.
  }
}
