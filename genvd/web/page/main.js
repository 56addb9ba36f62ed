/**
 * Connects the poller with the parts of the page.
 * @module
 */

import { Freshness } from "./freshness.js";
import { Poller } from "./poller.js";
import { showProblems } from "./problems.js";
import { showMachine, showState } from "./state.js";
import { Tables } from "./tables.js";
import { showTalks, showUsage } from "./talks.js";
import { showTiles } from "./tiles.js";
import { Views } from "./views.js";

const tables = new Tables();
const freshness = new Freshness();
/** @type {any} */
let data = null;
const views = new Views(show);

/** Update the whole page. */
function show() {
  // What is idle in old data may not be idle any more, so its time does not go on.
  const now = freshness.stale && data !== null ? data.timestamp : freshness.now;
  if (data !== null) views.update(data, now);
  showState(data, freshness, views.place);
  if (data === null) return;
  showMachine(data);
  if (views.route.kind !== "overview") return;
  showTiles(data, now, views.me);
  showProblems(data);
  showTalks(data, now);
  showUsage(data);
  tables.update(data, now);
}

new Poller({
  changed(fresh) {
    data = fresh;
    freshness.changed(fresh);
  },
  waiting() {
    freshness.setWaiting();
    showState(data, freshness, views.place);
  },
  answered(now) {
    freshness.answered(now);
    show();
  },
  failed(reason) {
    freshness.failed(reason);
    showState(data, freshness, views.place);
  },
}).start();

showState(data, freshness, views.place);
setInterval(() => { if (!document.hidden) showState(data, freshness, views.place); }, 1000);
