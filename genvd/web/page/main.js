/**
 * Puts together what asks the monitor and what shows the answer.
 * @module
 */

import { Devices } from "./devices.js";
import { Freshness } from "./freshness.js";
import { showGlance, showState } from "./glance.js";
import { Source } from "./source.js";
import { Tables } from "./tables.js";

const devices = new Devices();
const tables = new Tables();
const freshness = new Freshness();
/** @type {any} */
let data = null;

/** Show all that there is. */
function show() {
  showState(data, freshness);
  if (data === null) return;
  showGlance(data);
  devices.update(data, freshness.now);
  tables.update(data, freshness.now);
}

new Source({
  changed(fresh) {
    data = fresh;
    freshness.changed(fresh);
  },
  waits() {
    freshness.waits();
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
