// When no stream can be opened, the page asks again: plainly, each few seconds, until one can. It says so meanwhile.
import { banner, textBanner } from "./chrome.js";
import { parse } from "./morph.js";

const AFTER = 15_000; // ms without a living stream
const EACH = 5_000; // ms
const MOST_WINDOWS = 10; // of lines that are asked for at once; what is more comes the next time
const FINAL = new Set(["live", "signed-out", "gone"]);

export class Poll {
  #watched; // run -> what shows it
  #wall;
  #onFrame;
  #onState;
  #active = false;
  #timer = 0;
  #asking = null; // ends what is asked now

  /** `onFrame(event, data)` gets what the stream would have brought; `onState` hears "polling" and "signed-out". */
  constructor({ watched, wall, onFrame, onState }) {
    this.#watched = watched;
    this.#wall = wall;
    this.#onFrame = onFrame;
    this.#onState = onState;
  }

  /** Whether it brings what is new. */
  get active() {
    return this.#active;
  }

  /** The state of the stream. */
  hear(state) {
    if (!FINAL.has(state)) this.#timer ||= setTimeout(() => this.#ask(), AFTER);
    else this.#end();
  }

  #end() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#active = false;
    this.#asking?.abort();
    banner("polling", null);
  }

  async #ask() {
    this.#asking = new AbortController();
    try {
      const pages = this.#watched.size > 0 ? [...this.#watched.keys()].map((run) => `/runs/${run}`) : [location.href];
      for (const page of pages) await this.#show(await this.#get(page), page);
      for (const watched of this.#watched.values()) await this.#lines(watched);
      if (!this.#timer) return undefined; // a stream came first
      this.#active = true;
      this.#onState("polling");
      banner("polling", textBanner("No live stream reaches this page, so it asks for news each 5 s; charts stand still. Runs go on, and STOP works."));
    } catch (error) {
      if (error instanceof SignedOut) {
        this.#end();
        return this.#onState("signed-out");
      }
      this.#active = false;
      // The server does not answer this either: the age grows, and it is asked again.
      if (error.name !== "AbortError" && !(error instanceof TypeError)) console.error("poll:", error);
    }
    if (this.#timer) this.#timer = setTimeout(() => this.#ask(), EACH);
    return undefined;
  }

  async #get(address) {
    const answer = await fetch(address, { signal: this.#asking.signal, cache: "no-store", redirect: "manual" });
    if (answer.type === "opaqueredirect" || answer.status === 401) throw new SignedOut();
    if (!answer.ok) throw new TypeError(`answered with ${answer.status}`);
    this.#onFrame("answer", { now: Date.parse(answer.headers.get("date")) / 1000 });
    return answer;
  }

  /** What of the page there are frames for. */
  async #show(answer, page) {
    const fresh = parse(await answer.text());
    const html = (selector) => fresh.querySelector(selector)?.outerHTML;
    const tell = (event, part, more = {}) => part && this.#onFrame(event, { ...more, html: part });
    const [, run] = page.match(/^\/runs\/(\d+)$/) ?? [];
    if (run) {
      tell("alerts", html(".alerts"), { run });
      tell("panel", html("#panel"), { run });
    }
    if (this.#wall) {
      const cards = [...fresh.querySelectorAll("#wall > [id]")].map((card) => [Number(card.id.replace("run-", "")), card.outerHTML]);
      this.#onFrame("sight", { runs: cards.map(([id]) => id) });
      for (const [id, card] of cards) tell("card", card, { run: id });
      tell("tools", html("#wall-tools"));
      tell("queue", html("#queue"));
    }
    tell("strip", html("#strip"));
  }

  async #lines({ run, log }) {
    for (let count = 0; count < MOST_WINDOWS; count += 1) {
      const { lines } = await (await this.#get(`/runs/${run}/lines?after=${log.end}`)).json();
      if (lines.length === 0) return;
      this.#onFrame("lines", { run, lines });
    }
  }
}

class SignedOut extends Error {}
