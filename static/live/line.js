// What a page hears: frames of its topics, in order, from whatever way there is to the stream.
import { ways } from "./link.js";

const PING = 2_000; // ms
const DEAF_AFTER = 4; // pings without an answer: this way leads nowhere, take the next

export class Line {
  #topics; // {runs: {42: cursor}, wall: the query of its wall or "", csrf}
  #onFrame;
  #onState;
  #ways;
  #link = null;
  #unanswered = 0;
  #state = "";

  constructor({ topics, worker, onFrame, onState }) {
    this.#topics = topics;
    this.#onFrame = onFrame;
    this.#onState = onState;
    this.#ways = ways(worker);
    this.#open();
    setInterval(() => this.#ping(), PING);
  }

  hurry() {
    this.#link?.post({ op: "hurry" });
  }

  /** The page goes away: its way is free for others at once. */
  leave() {
    this.#link?.post({ op: "leave" });
    this.#link?.close();
    this.#link = null;
  }

  #open() {
    const [way] = this.#ways;
    this.#unanswered = 0;
    const link = way(
      (message) => this.#link === link && this.#receive(message),
      () => this.#link === link && this.#next(),
    );
    this.#link = link;
    this.#join();
  }

  /** Another wall from now on: its frames follow. */
  follow(wall) {
    this.#topics = { ...this.#topics, wall };
    this.#join();
  }

  /** Whether the page is before someone's eyes. */
  seen(seen) {
    this.#link?.post({ op: "seen", seen });
  }

  #join() {
    this.#link?.post({ op: "join", topics: this.#topics, seen: !document.hidden });
  }

  #next() {
    if (this.#ways.length < 2) return;
    this.leave();
    this.#ways.shift();
    this.#open();
  }

  #receive({ op, state, event, data, id }) {
    this.#unanswered = 0;
    if (op === "lost") this.#join(); // whoever has the stream does not know this page (any more)
    else if (op === "frame") {
      this.#onFrame(event, data);
      // Only what this page has counts: it asks for the rest wherever it joins next.
      if (id && data.run in this.#topics.runs) this.#topics.runs[data.run] = id;
      if (event === "missing") this.#tell("gone");
    } else this.#tell(state);
  }

  #tell(state) {
    if (state === this.#state || this.#state === "gone") return;
    this.#state = state;
    this.#onState(state);
  }

  #ping() {
    if (!this.#link) return;
    this.#unanswered += 1;
    if (this.#unanswered > DEAF_AFTER) this.#next();
    else this.#link.post({ op: "here" });
  }
}
