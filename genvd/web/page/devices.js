/**
 * The cards of all GPUs.
 * @module
 */

import { byId, setChildren, setText } from "./dom.js";
import { Card } from "./device.js";

/** Reuses the card of a GPU between updates. */
export class Devices {
  constructor() {
    /** @type {Map<string, Card>} */
    this.cards = new Map();
  }

  /**
   * @param {any} data the overview
   * @param {number} now in seconds
   */
  update(data, now) {
    const devices = data.devices ?? [];
    this.showIfEmpty(data.devices);
    const axis = { times: data.history.times, now, interval: data.interval_seconds ?? 0 };
    const previous = this.cards;
    this.cards = new Map();
    devices.forEach((/** @type {any} */ device, /** @type {number} */ place) => {
      const key = device.uuid ?? `GPU ${device.index}`;
      const card = previous.get(key) ?? new Card();
      card.update(device, data.history.devices[place] ?? {}, axis);
      this.cards.set(key, card);
    });
    setChildren(byId("device-cards"), [...this.cards.values()].map((card) => card.node));
  }

  /** @param {any[] | null} devices */
  showIfEmpty(devices) {
    const nothing = byId("no-devices");
    nothing.hidden = Boolean(devices?.length);
    setText(nothing, devices === null ? "GPU list unavailable." : "This machine has no GPU.");
  }
}
