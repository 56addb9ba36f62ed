/**
 * Making and changing elements. Text only ever becomes text, never markup.
 * @module
 */

const SVG = "http://www.w3.org/2000/svg";
const LONG = 32;

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
 * Return a new element of a drawing.
 * @param {string} tag
 * @param {Record<string, string | number>} [attributes]
 * @param {...Node} children
 * @returns {SVGElement}
 */
export function drawn(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * Return a name that somebody chose, kept from turning the direction of the text around it.
 * @param {string} text
 * @returns {HTMLElement}
 */
export function name(text) {
  const made = element("bdi");
  setName(made, text);
  return made;
}

/**
 * Change a name. Of a long one a part is shown, and all of it while it has the focus.
 * @param {Element} target made by {@link name}
 * @param {string} text
 */
export function setName(target, text) {
  const long = text.length > LONG;
  setText(target, text);
  target.classList.toggle("long", long);
  setAttribute(target, "title", long ? text : null);
  setAttribute(target, "tabindex", long ? 0 : null);
}

/**
 * Return the element of the page that has this id.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/**
 * Change the text of an element if it is another one, so that nothing selected or announced changes for nothing.
 * @param {Element} target
 * @param {string} text
 */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/**
 * Change an attribute if it is another one; null takes it away.
 * @param {Element} target
 * @param {string} attribute
 * @param {string | number | null} value
 */
export function setAttribute(target, attribute, value) {
  if (value === null) target.removeAttribute(attribute);
  else if (target.getAttribute(attribute) !== String(value)) target.setAttribute(attribute, String(value));
}

/**
 * Have an element hold these children in this order, and move only those that are elsewhere.
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
 * Replace what is in an element if it reads otherwise.
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
