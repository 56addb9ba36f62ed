/**
 * The addresses of what the page shows: "#gpu=3", "#user=alice", "#env=1234", "#me", "#usage". Others are places on the overview.
 * @module
 */

import { element, name } from "./dom.js";

const KINDS = ["gpu", "user", "env"];

/**
 * @typedef {object} Route
 * @property {"overview" | "gpu" | "user" | "env" | "me" | "usage"} kind
 * @property {string} value index, username, or ID or name of the environment; else the place on the overview
 */

/**
 * Return what an address shows.
 * @param {string} hash the part from "#" on
 * @returns {Route}
 */
export function parse(hash) {
  const [kind, ...rest] = hash.replace(/^#/, "").split("=");
  if (kind === "me" || kind === "usage") return { kind, value: "" };
  if (!KINDS.includes(kind) || !rest.length) return { kind: "overview", value: kind };
  try {
    return { kind: /** @type {any} */ (kind), value: decodeURIComponent(rest.join("=")) };
  } catch { // no valid encoding, as in "#user=%"
    return { kind: /** @type {any} */ (kind), value: rest.join("=") };
  }
}

/**
 * Return an address.
 * @param {string} kind
 * @param {string | number} value
 */
export function address(kind, value) {
  return `#${kind}=${encodeURIComponent(value)}`;
}

/**
 * Return a link to a GPU.
 * @param {number} index
 * @param {string} [text]
 */
export function gpuLink(index, text = `GPU ${index}`) {
  return element("a", { href: address("gpu", index) }, text);
}

/**
 * Return links to GPUs, with commas between them.
 * @param {number[]} indices
 * @returns {(Node | string)[]}
 */
export function gpuLinks(indices) {
  return separated(indices.map((index) => gpuLink(index, String(index))));
}

/**
 * Return a link to a user; only text if nobody knows who it is.
 * @param {string | null} username
 */
export function userLink(username) {
  return username ? nameLink(address("user", username), username) : element("span", { class: "muted" }, "unknown user");
}

/**
 * Return a link to an environment.
 * @param {string} eid
 * @param {string | null} called its name
 */
export function environmentLink(eid, called) {
  return nameLink(address("env", eid), called || eid);
}

/**
 * @param {string} href
 * @param {string} text a name that a user chose
 */
function nameLink(href, text) {
  return element("a", { href }, name(text, false));
}

/**
 * Return nodes with commas between them.
 * @param {Node[]} nodes
 * @returns {(Node | string)[]}
 */
export function separated(nodes) {
  return nodes.flatMap((node, place) => place ? [", ", node] : [node]);
}

const GPUS = /GPU \d+|GPUs \d+(?:(?:, | and | to )\d+(?!\d|\.\d))*/;

/**
 * Return a sentence of the monitor in which the GPUs are links.
 * @param {string} text
 * @returns {(Node | string)[]}
 */
export function withGpuLinks(text) {
  const found = GPUS.exec(text);
  if (!found) return [text];
  const [before, after] = [text.slice(0, found.index), text.slice(found.index + found[0].length)];
  const pieces = found[0].split(/(\d+)/);
  const links = found[0].startsWith("GPU ") ? [gpuLink(Number(pieces[1]))]
    : pieces.map((piece, place) => place % 2 ? gpuLink(Number(piece), piece) : piece);
  return [before, ...links, ...withGpuLinks(after)].filter((part) => part !== "");
}
