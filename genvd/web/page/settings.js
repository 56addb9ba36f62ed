/**
 * Saves the settings of the page in the session storage of the tab, for the next reload.
 * @module
 */

/**
 * @typedef {object} TableSettings
 * @property {string} filter
 * @property {number} sortedBy
 * @property {boolean} descending
 */

/**
 * Return a saved text; null if there is none.
 * @param {string} key
 */
export function loadText(key) {
  try {
    return sessionStorage.getItem(key);
  } catch { // the browser may forbid storage
    return null;
  }
}

/**
 * Save a text, if the browser allows it.
 * @param {string} key
 * @param {string} text
 */
export function saveText(key, text) {
  try {
    sessionStorage.setItem(key, text);
  } catch {
    // It is lost when the page is reloaded.
  }
}

/**
 * Return the saved settings of a table; null if there are none, or in another form.
 * @param {string} key
 * @returns {TableSettings | null}
 */
export function loadSettings(key) {
  try {
    const found = JSON.parse(loadText(key) ?? "null");
    const valid = typeof found?.filter === "string" && Number.isInteger(found.sortedBy) && typeof found.descending === "boolean";
    return valid ? found : null;
  } catch { // no JSON
    return null;
  }
}

/**
 * Save the settings of a table, if the browser allows it.
 * @param {string} key
 * @param {TableSettings} settings
 */
export function saveSettings(key, settings) {
  saveText(key, JSON.stringify(settings));
}
