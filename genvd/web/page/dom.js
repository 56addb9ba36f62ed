/**
 * Helpers to create and change elements. Text is always inserted as text, never as markup.
 * @module
 */

const SVG = "http://www.w3.org/2000/svg";
const LONG_CHARACTERS = 32;

/**
 * Return a new element.
 * @param {string} tag
 * @param {Record<string, string | number>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/**
 * Return a new SVG element.
 * @param {string} tag
 * @param {Record<string, string | number>} [attributes]
 * @param {...Node} children
 * @returns {SVGElement}
 */
export function drawn(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * Return an element for a name that a user chose; it does not affect the direction of the text around it.
 * @param {string} text
 * @param {boolean} [focusable] whether it can have the focus, unless a link around it has it
 * @returns {HTMLElement}
 */
export function name(text, focusable = true) {
  const made = element("bdi");
  setName(made, text, focusable);
  return made;
}

/**
 * Change a name. A long one is cut, and shown in full while it has the focus; one of spaces only is in quotes.
 * @param {Element} target made by {@link name}
 * @param {string} text
 * @param {boolean} [focusable] whether it can have the focus, unless a link around it has it
 */
export function setName(target, text, focusable = true) {
  const long = text.length > LONG_CHARACTERS;
  setText(target, text && !text.trim() ? `"${text}"` : text);
  target.classList.toggle("long", long);
  setAttribute(target, "title", long ? text : null);
  setAttribute(target, "tabindex", long && focusable ? 0 : null);
}

/**
 * Call a function when the page begins and ends to be printed.
 * @param {(printing: boolean) => void} changed
 */
export function onPrint(changed) {
  addEventListener("beforeprint", () => changed(true));
  addEventListener("afterprint", () => changed(false));
}

/**
 * Return the element with this id.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/**
 * Change the text of an element if it differs. Without a change, selections stay and nothing is announced again.
 * @param {Element} target
 * @param {string} text
 */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/**
 * Change an attribute if it differs; null removes it.
 * @param {Element} target
 * @param {string} attribute
 * @param {string | number | null} value
 */
export function setAttribute(target, attribute, value) {
  if (value === null) target.removeAttribute(attribute);
  else if (target.getAttribute(attribute) !== String(value)) target.setAttribute(attribute, String(value));
}

/**
 * Give an element these children in this order. Children that are in place are not moved.
 * @param {Element} parent
 * @param {Element[]} children
 */
export function setChildren(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  children.forEach((child, place) => {
    if (parent.children[place] !== child) parent.insertBefore(child, parent.children[place] ?? null);
  });
}

/**
 * Replace the content of an element if it differs.
 * @param {Element} target
 * @param {(Node | string)[]} content
 */
export function setContent(target, content) {
  const fresh = document.createElement("div");
  fresh.append(...content);
  const same = target.childNodes.length === fresh.childNodes.length
    && [...target.childNodes].every((node, place) => node.isEqualNode(fresh.childNodes[place]));
  if (!same) target.replaceChildren(...fresh.childNodes);
}

/**
 * @template {Element} E
 * @param {E} made
 * @param {Record<string, string | number>} attributes
 * @param {(Node | string)[]} children
 * @returns {E}
 */
function filled(made, attributes, children) {
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, String(value));
  made.append(...children);
  return made;
}
