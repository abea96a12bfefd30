// One stream for all pages of a browser. Runs in a SharedWorker, in the page that leads the others, or in a lone page.
import { Stream } from "./stream.js";

const FORGOTTEN_AFTER = 150_000; // ms; a hidden page's timers may come once a minute only
const WALL_FRAMES = new Set(["card", "queue"]); // of all walls; those of one say which
const SEEN_AFTER = 200; // ms in which changes of what is seen gather
const RUN_FRAMES = new Set(["lines", "usage", "panel", "alerts", "tally", "eof", "missing"]);

/** "3.200.17" and "5.100.17" -> "3.100.17": after this neither of two readers has missed anything. */
export function earlier(one, other) {
  const [a, b] = [one, other].map((cursor) => cursor.split(".").map(Number));
  return a.map((number, place) => Math.min(number, b[place])).join(".");
}

function concerns(topics, event, data, run) {
  if (run !== null) return run in topics.runs;
  if (data.wall !== undefined) return topics.wall === data.wall;
  return !WALL_FRAMES.has(event) || Boolean(topics.wall);
}

export class Hub {
  #pages = new Map(); // key -> {topics: {runs: {42: "3.200.17"}, wall, csrf}, seen, send, heard, waits}
  #stream = null;
  #state = "connecting";
  #due = 0;
  #key = ""; // of the stream, as its hello says
  #told = ""; // the runs it was told are seen
  #telling = 0;

  constructor() {
    setInterval(() => this.#forget(), 30_000);
  }

  /** A message of the page `key`; `send` is the way back to it. */
  hear(key, message, send) {
    const page = this.#pages.get(key);
    if (page) page.heard = performance.now();
    if (message.op === "join") this.#join(key, message, send);
    else if (message.op === "seen") this.#see(key, message.seen);
    else if (message.op === "leave") this.#leave(key);
    else if (message.op === "here") send({ op: page ? "pong" : "lost", state: this.#state });
    else if (message.op === "hurry") this.#stream?.hurry();
  }

  #join(key, { topics, seen = true }, send) {
    // It waits: what the stream of before still brings may be further than this page is.
    this.#pages.set(key, { topics, seen, send, heard: performance.now(), waits: true });
    send({ op: "state", state: this.#state });
    this.#renew();
  }

  #leave(key) {
    // What nobody reads any more is left out when the stream is next renewed.
    if (this.#pages.delete(key) && this.#pages.size === 0) this.close();
    else this.#tellSeen();
  }

  close() {
    this.#pages.clear();
    this.#stream?.stop();
    this.#stream = null;
  }

  /** A new set of topics needs a new stream. Pages that open together cost one. */
  #renew() {
    this.#due ||= setTimeout(() => {
      this.#due = 0;
      if (this.#pages.size === 0) return;
      if (this.#stream?.alive) this.#stream.renew();
      else this.#start();
    }, 10);
  }

  #start() {
    const stream = new Stream({
      target: () => this.#target(),
      onFrame: (event, data, id) => this.#spread(event, data, id),
      onState: (state) => {
        this.#state = state;
        for (const { send } of this.#pages.values()) send({ op: "state", state });
      },
    });
    this.#stream = stream;
    stream.run();
  }

  /** Whether a page is before someone's eyes: one in the background watches nothing. */
  #see(key, seen) {
    const page = this.#pages.get(key);
    if (!page || page.seen === seen) return;
    page.seen = seen;
    this.#tellSeen();
  }

  #seen() {
    const seen = new Set();
    for (const page of this.#pages.values()) if (page.seen) for (const run of Object.keys(page.topics.runs)) seen.add(run);
    return [...seen].sort().join(",");
  }

  #tellSeen() {
    this.#telling ||= setTimeout(() => {
      this.#telling = 0;
      const seen = this.#seen();
      const csrf = [...this.#pages.values()].at(-1)?.topics.csrf;
      if (!this.#key || !csrf || seen === this.#told) return;
      this.#told = seen;
      const body = new URLSearchParams([["csrf", csrf], ["stream", this.#key], ...seen.split(",").filter(Boolean).map((run) => ["run", run])]);
      fetch(new URL("/stream/seen", self.location.href), { method: "POST", body, redirect: "manual" }).catch(() => {}); // the next stream tells it
    }, SEEN_AFTER);
  }

  #target() {
    const url = new URL("/stream", self.location.href);
    const cursors = new Map();
    for (const page of this.#pages.values()) {
      page.waits = false;
      for (const [run, cursor] of Object.entries(page.topics.runs)) {
        cursors.set(run, cursors.has(run) ? earlier(cursors.get(run), cursor) : cursor);
      }
    }
    for (const [run, cursor] of cursors) {
      url.searchParams.append("run", run);
      url.searchParams.append("after", cursor);
    }
    const walls = new Set([...this.#pages.values()].map(({ topics }) => topics.wall).filter(Boolean));
    for (const wall of walls) url.searchParams.append("wall", wall);
    this.#key = "";
    this.#told = this.#seen();
    url.searchParams.set("seen", this.#told);
    if (walls.size === 0 && cursors.size === 0) url.searchParams.set("house", "1");
    return url;
  }

  #spread(event, data, id) {
    if (event === "hello") {
      this.#key = data.stream;
      this.#tellSeen();
    }
    const run = RUN_FRAMES.has(event) ? String(data.run) : null;
    for (const { topics, send, waits } of this.#pages.values()) {
      if (waits || !concerns(topics, event, data, run)) continue;
      send({ op: "frame", event, data, id });
      if (id && run !== null) topics.runs[run] = id;
    }
  }

  #forget() {
    for (const [key, { heard }] of [...this.#pages]) if (performance.now() - heard > FORGOTTEN_AFTER) this.#leave(key);
  }
}
