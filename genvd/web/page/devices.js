/**
 * The cards of all devices.
 * @module
 */

import { byId, setChildren, setText } from "./dom.js";
import { Card } from "./device.js";

/** Keeps the card of a device while the device is there. */
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
    this.say(data.devices);
    const axis = { times: data.history.times, now, interval: data.interval_seconds ?? 0 };
    const before = this.cards;
    this.cards = new Map();
    devices.forEach((/** @type {any} */ device, /** @type {number} */ place) => {
      const key = device.uuid ?? `device ${device.index}`;
      const card = before.get(key) ?? new Card();
      card.update(device, data.history.devices[place] ?? {}, axis);
      this.cards.set(key, card);
    });
    setChildren(byId("device-cards"), [...this.cards.values()].map((card) => card.node));
  }

  /** @param {any[] | null} devices */
  say(devices) {
    const nothing = byId("no-devices");
    nothing.hidden = Boolean(devices?.length);
    setText(nothing, devices === null ? "It is not known which devices there are." : "The machine has no GPU.");
  }
}
