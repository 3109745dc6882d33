// Elements out of values, and the least change from one picture to the next.
//
// A. Text from anywhere is put into text nodes and attributes only. Nothing here, or elsewhere in the console, parses
//    markup: the page's policy (Trusted Types, with no policy allowed) would refuse it.
// B. Characters that cannot be seen, or that turn the reading direction, are shown by their code: a partner's name
//    cannot look like another's by them.
// C. `patch` keeps every element that stays, with its focus, what was typed into it, and whether it is folded.

const SVG = "http://www.w3.org/2000/svg";
const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** Text as it can be read (B). */
export function plain(value) {
  return String(value).replace(HIDDEN, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** An HTML element: `h("a", {href: "#/map"}, "Map")`. Children: nodes, texts, lists of them; null and false are none. */
export function h(name, properties, ...children) {
  return build(document.createElement(name), properties, children);
}

/** The same in SVG. */
export function s(name, properties, ...children) {
  return build(document.createElementNS(SVG, name), properties, children);
}

function build(node, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) set(node, name, value);
  append(node, children);
  return node;
}

function set(node, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name === "key") node.meshKey = value;
  else if (name === "own")
    node.meshOwn = true; // whoever made it changes what is in it
  else if (name.startsWith("on")) node[name] = value;
  else if (name === "style") for (const [each, is] of Object.entries(value)) node.style.setProperty(each, is);
  else if (name === "href" && !value.startsWith("#")) throw new Error("links lead to pages of the console only");
  else node.setAttribute(name, value === true ? "" : plain(value));
}

function append(node, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(node, child);
    else node.append(child instanceof Node ? child : plain(child));
  }
}

const HANDLERS = [
  "onclick",
  "onsubmit",
  "oninput",
  "onchange",
  "onkeydown",
  "onpointermove",
  "onpointerleave",
  "ontoggle",
  "onfocusin",
  "onfocusout",
];
const STAYS = { DETAILS: ["open"], DIALOG: ["open"] };

/** Makes the children of `node` as `wanted` are (C). */
export function patch(node, wanted) {
  children(node, (Array.isArray(wanted) ? wanted : [wanted]).filter(Boolean));
}

function children(node, wanted) {
  const keyed = new Map();
  for (const child of node.childNodes) if (child.meshKey !== undefined) keyed.set(child.meshKey, child);
  let at = node.firstChild;
  for (const next of wanted) {
    const kept = next.meshKey !== undefined ? keyed.get(next.meshKey) : alike(at, next) ? at : undefined;
    if (kept !== undefined && alike(kept, next)) {
      if (kept === at) at = at.nextSibling;
      else node.insertBefore(kept, at);
      morph(kept, next);
    } else {
      node.insertBefore(next, at);
    }
  }
  while (at !== null) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function alike(node, next) {
  return (
    node !== null && node.nodeType === next.nodeType && node.nodeName === next.nodeName && node.meshKey === next.meshKey
  );
}

function morph(node, next) {
  if (node.nodeType !== Node.ELEMENT_NODE) {
    if (node.data !== next.data) node.data = next.data;
    return;
  }
  attributes(node, next);
  for (const name of HANDLERS) if (node[name] !== next[name]) node[name] = next[name];
  if (!node.meshOwn) children(node, [...next.childNodes]);
}

function attributes(node, next) {
  const stays = STAYS[node.nodeName] ?? [];
  for (const { name } of [...node.attributes]) {
    if (!next.hasAttribute(name) && !stays.includes(name) && name !== "style") node.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (name !== "style" && node.getAttribute(name) !== value) node.setAttribute(name, value);
  }
  // what a policy without inline styles forbids to an attribute is allowed to the object behind it
  if (node.style && node.style.cssText !== next.style.cssText) node.style.cssText = next.style.cssText;
}
