// One stream of frames that heals itself. Touches no page: it runs in a SharedWorker as well.
import { FrameReader } from "./frames.js";

const STALE_AFTER = 5_000; // ms without a frame (the server sends one each 2 s): say so
const RENEW_AFTER = 10_000; // ms without a frame: the connection is dead whatever TCP believes
const FIRST_WAIT = 500;
const LONGEST_WAIT = 10_000;

/**
 * Follows the address that `target()` gives, for ever: each frame goes to `onFrame(event, data, id)`, each change of
 * health to `onState`. It is asked for the address at each attempt: what was received is in it.
 * States: "connecting", "live", "stale", "waiting" (will try again), "signed-out", "gone" (both final).
 */
export class Stream {
  #target;
  #onFrame;
  #onState;
  #state = "";
  #stopped = false;
  #abort = null;
  #wake = null; // ends the wait before the next attempt
  #heard = 0; // performance.now() of the last bytes
  #failures = 0;
  #retry = FIRST_WAIT;
  #renewing = false; // the next attempt follows at once, and nobody needs to hear of it

  constructor({ target, onFrame, onState = () => {} }) {
    this.#target = target;
    this.#onFrame = onFrame;
    this.#onState = onState;
  }

  /** Runs until `stop` or a final state. */
  async run() {
    const watchdog = setInterval(() => this.#watch(), 1_000);
    try {
      while (!this.#stopped) {
        await this.#once();
        if (this.#stopped) break;
        if (this.#renewing) continue;
        this.#tell("waiting");
        await this.#pause();
      }
    } finally {
      clearInterval(watchdog);
    }
  }

  stop() {
    this.#stopped = true;
    this.#abort?.abort();
    this.#wake?.();
  }

  get alive() {
    return !this.#stopped;
  }

  /** Begins again at once, at the address as it is now. */
  renew() {
    this.#renewing = true;
    this.#abort?.abort();
    this.hurry();
  }

  /** Tries at once: the page became visible, or the machine came back to the network. */
  hurry() {
    this.#failures = 0;
    this.#wake?.();
  }

  get silence() {
    return this.#heard === 0 ? 0 : performance.now() - this.#heard;
  }

  async #once() {
    this.#abort = new AbortController();
    if (!this.#renewing) this.#tell("connecting");
    this.#renewing = false;
    this.#heard = performance.now(); // a connection that never answers is renewed as well
    try {
      const response = await fetch(this.#target(), {
        headers: { Accept: "text/event-stream" },
        signal: this.#abort.signal,
        cache: "no-store",
        redirect: "manual", // a redirect can only be the way to the sign-in page
      });
      if (response.status === 401 || response.status === 403 || response.type === "opaqueredirect") {
        return this.#end("signed-out");
      }
      if (response.status === 404) return this.#end("gone");
      if (!response.ok || !response.headers.get("content-type")?.startsWith("text/event-stream")) {
        this.#failures += 1;
        await response.body?.cancel();
        return undefined;
      }
      await this.#read(response.body.getReader());
    } catch (error) {
      // A cut connection, a refused one, or our own abort: all are tried again.
      if (error.name !== "AbortError" && !(error instanceof TypeError)) console.error("stream:", error);
      this.#failures += 1;
    }
    return undefined;
  }

  async #read(reader) {
    const frames = new FrameReader();
    try {
      for (;;) {
        const { value, done } = await reader.read();
        if (done) {
          this.#failures += 1;
          return;
        }
        this.#heard = performance.now();
        for (const frame of frames.push(value)) {
          this.#failures = 0;
          this.#tell("live");
          this.#deliver(frame);
        }
        if (frames.retry !== null) this.#retry = frames.retry;
      }
    } finally {
      reader.cancel().catch(() => {}); // already closed or aborted: nothing left to free
    }
  }

  #deliver({ id, event, data }) {
    let parsed;
    try {
      parsed = JSON.parse(data);
    } catch {
      console.error("stream: a frame that is not JSON was left out:", event);
      return;
    }
    this.#onFrame(event, parsed, id);
  }

  #watch() {
    if (this.#stopped || this.#state === "waiting") return;
    if (this.silence > RENEW_AFTER) this.#abort?.abort();
    else if (this.silence > STALE_AFTER) this.#tell("stale");
  }

  #pause() {
    // Jitter keeps a thousand pages from knocking in step after a restart.
    const wait = Math.min(LONGEST_WAIT, Math.max(this.#retry, FIRST_WAIT) * 2 ** Math.min(this.#failures - 1, 6));
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, wait * (0.5 + Math.random() / 2));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #end(state) {
    this.#stopped = true;
    this.#tell(state);
  }

  #tell(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.#onState(state);
  }
}
