// Server-rendered fragments put into the page with as little disturbance as can be: focus, open details and half-typed
// text stay. Fragments are status only; log text never comes this way.

import { trustedHtml } from "./trusted.js";

/** The elements of a fragment, with anything that could act by itself taken out: our fragments never have any. */
export function parse(html) {
  const template = document.createElement("template");
  template.innerHTML = trustedHtml(html);
  for (const element of template.content.querySelectorAll("*")) {
    if (/^(script|iframe|object|embed|base|link|meta|style)$/i.test(element.localName)) {
      element.remove();
      continue;
    }
    for (const { name } of [...element.attributes]) {
      if (/^(on|hx-|data-hx-)/i.test(name)) element.removeAttribute(name);
    }
  }
  return template.content;
}

/** Makes `element` look like the first element of `html`. Returns the element that is in the page afterwards. */
export function morph(element, html) {
  const fresh = parse(html).firstElementChild;
  if (!fresh) return element;
  if (fresh.localName !== element.localName) {
    element.replaceWith(fresh);
    return fresh;
  }
  morphElement(element, fresh);
  return element;
}

function morphElement(old, fresh) {
  // What a person is writing in, or a part that a module of ours owns.
  if (old.hasAttribute("data-keep") && fresh.hasAttribute("data-keep")) return;
  morphAttributes(old, fresh);
  morphChildren(old, fresh);
}

function morphAttributes(old, fresh) {
  const mine = old.localName === "details" ? new Set(["open"]) : null; // the reader decides what is open
  for (const { name, value } of [...fresh.attributes]) {
    if (!mine?.has(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !mine?.has(name) && !name.startsWith("data-own-")) old.removeAttribute(name);
  }
}

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.id || node.getAttribute("data-key") || null : null);

function morphChildren(old, fresh) {
  const keyed = new Map();
  for (const child of old.children) {
    const key = keyOf(child);
    if (key) keyed.set(key, child);
  }
  let here = old.firstChild;
  for (const want of [...fresh.childNodes]) {
    const key = keyOf(want);
    const match = key ? (keyed.get(key) ?? null) : here && !keyOf(here) && alike(here, want) ? here : null;
    if (match && alike(match, want)) {
      if (match === here) here = here.nextSibling;
      else old.insertBefore(match, here);
      if (match.nodeType === Node.ELEMENT_NODE) morphElement(match, want);
      else if (match.data !== want.data) match.data = want.data;
    } else {
      old.insertBefore(want, here);
    }
  }
  while (here) {
    const next = here.nextSibling;
    here.remove();
    here = next;
  }
}

const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName;
