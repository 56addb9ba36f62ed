/**
 * Connects the poller with the parts of the page.
 * @module
 */

import { Devices } from "./devices.js";
import { Freshness } from "./freshness.js";
import { showGlance, showState } from "./glance.js";
import { Poller } from "./poller.js";
import { Tables } from "./tables.js";

const devices = new Devices();
const tables = new Tables();
const freshness = new Freshness();
/** @type {any} */
let data = null;

/** Update the whole page. */
function show() {
  showState(data, freshness);
  if (data === null) return;
  showGlance(data);
  devices.update(data, freshness.now);
  tables.update(data, freshness.now);
}

new Poller({
  changed(fresh) {
    data = fresh;
    freshness.changed(fresh);
  },
  waiting() {
    freshness.setWaiting();
    showState(data, freshness);
  },
  answered(now) {
    freshness.answered(now);
    show();
  },
  failed(reason) {
    freshness.failed(reason);
    showState(data, freshness);
  },
}).start();

showState(data, freshness);
setInterval(() => { if (!document.hidden) showState(data, freshness); }, 1000);
