/**
 * Who looks at the page, if they have said so. Only this browser knows it.
 * @module
 */

const KEY = "me";

/** Return the username; null if nobody has said who they are. */
export function loadMe() {
  try {
    return localStorage.getItem(KEY) || null;
  } catch { // the browser may forbid storage
    return null;
  }
}

/**
 * Remember who looks at the page, if the browser allows it.
 * @param {string | null} username null to forget it
 * @returns {boolean} whether it was possible
 */
export function saveMe(username) {
  try {
    if (username === null) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, username);
    return true;
  } catch {
    return false;
  }
}

/**
 * Return the people among whom somebody may be.
 * @param {any} data the overview
 * @returns {string[]}
 */
export function everybody(data) {
  const users = (data.users ?? []).map((/** @type {any} */ user) => user.username);
  const used = (data.usage ?? []).map((/** @type {any} */ user) => user.username);
  return [...new Set([...users, ...used])].filter((one) => one !== "(other)").sort((a, b) => a.localeCompare(b));
}
