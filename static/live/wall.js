// The wall: the runs that the server names, in its order. Cards never move while someone is aiming: a press must hit the
// run it was meant for. Filters are the address: the stream is asked for the same as the page.
import { morph, parse } from "./morph.js";
import { reapply } from "./stop.js";

const AIMING = 3_000; // ms after the last move of the pointer or a key during which nothing changes place
const TYPING = 200; // ms without a key before what is typed is looked for
const DENSE = 24; // more cards than this are shown small; a few less before they grow again
const ROOMY = 20;

export class Wall {
  #element;
  #follow; // called with the query when it changes
  #query;
  #wanted = null; // ids of cards in order, as the server said last; null until it did
  #order = false; // the order or the set is not yet what is wanted
  #hand = -AIMING; // performance.now() of the last move of a hand over the wall
  #typing = 0;

  constructor(element, follow) {
    this.#element = element;
    this.#follow = follow;
    this.#query = document.body.dataset.wall;
    for (const kind of ["pointermove", "pointerdown", "keydown", "focusin"]) {
      element.addEventListener(kind, () => {
        this.#hand = performance.now();
      });
    }
    setInterval(() => this.#sort(), 500);
    this.#listen();
  }

  get query() {
    return this.#query;
  }

  /** Which runs, in which order. Their cards follow. */
  sight({ runs }) {
    this.#wanted = runs.map((run) => `run-${run}`);
    this.#order = true;
    this.#sort();
  }

  card({ run, html }) {
    const id = `run-${run}`;
    if (!this.#wanted?.includes(id)) return; // another wall of this browser wants it
    const old = document.getElementById(id);
    if (old) {
      reapply(morph(old, html));
    } else {
      const fresh = parse(html).firstElementChild;
      reapply(fresh);
      this.#element.append(fresh);
      this.#order = true;
    }
    this.#sort();
  }

  tools({ html }) {
    morph(document.getElementById("wall-tools"), html);
    this.#look();
  }

  queue({ html }) {
    reapply(morph(document.getElementById("queue"), html));
    this.#look();
  }

  /** Puts the cursor into the field of the filter. */
  search() {
    document.getElementById("wall-q").focus();
  }

  #sort() {
    if (!this.#order || this.#wanted === null || this.#aimed()) return;
    this.#order = false;
    const wanted = new Set(this.#wanted);
    for (const card of [...this.#element.children]) if (!wanted.has(card.id)) card.remove();
    const focused = this.#element.contains(document.activeElement) ? document.activeElement : null;
    let here = this.#element.firstElementChild;
    for (const id of this.#wanted) {
      const card = document.getElementById(id);
      if (!card) continue; // it is on its way
      if (card === here) here = here.nextElementSibling;
      else this.#element.insertBefore(card, here);
    }
    if (focused !== document.activeElement) focused?.focus({ preventScroll: true }); // an element that is moved loses it
    this.#look();
  }

  /** A pointer that rests on the wall is a hand too: the button under it must stay the one that was looked at. */
  #aimed() {
    return performance.now() - this.#hand < AIMING || this.#element.matches(":hover");
  }

  /** Small cards when there are many; words when there are none. */
  #look() {
    const count = this.#element.children.length;
    const dense = this.#element.classList;
    if (count > DENSE) dense.add("dense");
    else if (count <= ROOMY) dense.remove("dense");
    const { total } = document.getElementById("wall-tools").dataset;
    const waiting = Number(document.getElementById("queue")?.dataset.queued ?? 0);
    const all = Math.max(Number(total), count);
    document.getElementById("wall-none").hidden = count > 0 || all === 0;
    document.getElementById("wall-empty").hidden = all > 0 || waiting > 0;
    document.getElementById("wall-bar").hidden = all === 0 && this.#query === "1";
  }

  #listen() {
    const form = document.getElementById("wall-form");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask(address(form));
    });
    form.addEventListener("change", () => this.#ask(address(form)));
    form.addEventListener("input", ({ target }) => {
      if (target.type !== "search") return;
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => this.#ask(address(form)), TYPING);
    });
    document.addEventListener("click", (event) => {
      const link = event.target.closest?.("a[data-wall]");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
      if (document.getElementById("fresh").dataset.state !== "live") return; // the server answers with a page
      event.preventDefault();
      const query = new URL(link.href).searchParams;
      for (const input of form.elements) {
        if (input.type === "search" || input.localName === "select") input.value = query.get(input.name) ?? (input.name === "sort" ? "attention" : "");
        else if (input.type === "checkbox") input.checked = query.has(input.name);
      }
      this.#hand = -AIMING;
      this.#ask(query.toString());
    });
  }

  /** The address says it, for whoever loads the page again or is sent the link. */
  #ask(query) {
    clearTimeout(this.#typing);
    if ((query || "1") === this.#query) return;
    this.#query = query || "1";
    this.#hand = -AIMING; // who filters wants to see it at once
    history.replaceState(null, "", query ? `/?${query}` : "/");
    for (const input of document.querySelectorAll("input[name=next]")) input.value = location.pathname + location.search;
    this.#follow(this.#query);
  }
}

/** What is chosen, without what is at its default. */
function address(form) {
  const chosen = [...new FormData(form)].filter(([name, value]) => typeof value === "string" && value.trim() && !(name === "sort" && value === "attention"));
  return new URLSearchParams(chosen).toString();
}
