// The wall: cards by rank. Cards never move while someone is aiming: a press must hit the run it was meant for.
import { morph, parse } from "./morph.js";
import { reapply } from "./stop.js";

const AIMING = 3_000; // ms after the last move of the pointer or a key during which nothing changes place

export class Wall {
  #element;
  #sent = null; // cards received since the connection began, until the queue came
  #order = false; // cards wait to be put in order
  #leaving = new Set(); // cards that wait to be taken away
  #hand = 0; // performance.now() of the last move of a hand over the wall

  constructor(element) {
    this.#element = element;
    for (const kind of ["pointermove", "pointerdown", "keydown", "focusin"]) {
      element.addEventListener(kind, () => {
        this.#hand = performance.now();
      });
    }
    setInterval(() => this.#sort(), 500);
  }

  /** A new connection sends every card again, then the queue: what it did not send has left meanwhile. */
  hello() {
    this.#sent = new Set();
  }

  card({ run, html }) {
    this.#sent?.add(`run-${run}`);
    this.#leaving.delete(`run-${run}`);
    const old = document.getElementById(`run-${run}`);
    if (old) {
      const before = old.dataset.rank;
      reapply(morph(old, html));
      if (old.dataset.rank !== before) this.#order = true;
    } else {
      const fresh = parse(html).firstElementChild;
      reapply(fresh);
      this.#element.append(fresh);
      this.#order = true;
    }
    this.#sort();
    this.#empty();
  }

  gone({ run }) {
    this.#leaving.add(`run-${run}`);
    this.#sort();
  }

  queue({ html }) {
    for (const card of this.#sent ? this.#element.children : []) if (!this.#sent.has(card.id)) this.#leaving.add(card.id);
    this.#sent = null;
    this.#sort();
    reapply(morph(document.getElementById("queue"), html));
    this.#empty();
  }

  #sort() {
    if (this.#aimed()) return;
    for (const id of this.#leaving) document.getElementById(id)?.remove();
    this.#leaving.clear();
    this.#empty();
    if (!this.#order) return;
    this.#order = false;
    const focused = this.#element.contains(document.activeElement) ? document.activeElement : null;
    const sorted = [...this.#element.children].toSorted((a, b) => Number(a.dataset.rank) - Number(b.dataset.rank));
    sorted.forEach((card, place) => {
      if (this.#element.children[place] !== card) this.#element.insertBefore(card, this.#element.children[place]);
    });
    focused?.focus({ preventScroll: true }); // an element that is moved loses it
  }

  /** A pointer that rests on the wall is a hand too: the button under it must stay the one that was looked at. */
  #aimed() {
    return performance.now() - this.#hand < AIMING || this.#element.matches(":hover");
  }

  #empty() {
    const waiting = Number(document.getElementById("queue")?.dataset.queued ?? 0);
    document.getElementById("wall-empty").hidden = this.#element.children.length > 0 || waiting > 0;
  }
}
