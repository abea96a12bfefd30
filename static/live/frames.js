// Bytes of a text/event-stream in, frames out. Knows nothing of pages or connections, so it runs in a worker as well.

const LONGEST = 16 * 1024 * 1024; // a frame beyond this is not ours; refuse rather than fill the memory

/** Reads server-sent events from chunks that may be cut at any byte: inside a character, or between CR and LF. */
export class FrameReader {
  #decoder = new TextDecoder("utf-8");
  #rest = "";
  #scanned = 0; // characters of #rest known to hold no line end
  #afterReturn = false; // the last chunk ended in CR: a LF that follows belongs to it
  #id = "";
  #event = "";
  #data = [];
  #dataLength = 0;
  retry = null; // milliseconds, as the server last asked

  /**
   * The id is the frame's own, "" when it brings none: the last one may be the place in another run (unlike EventSource).
   * @param {Uint8Array} bytes  @returns {{id: string, event: string, data: string}[]} complete frames, in order
   */
  push(bytes) {
    let text = this.#decoder.decode(bytes, { stream: true });
    if (text === "") return [];
    if (this.#afterReturn && text[0] === "\n") text = text.slice(1);
    this.#afterReturn = text === "" ? false : text.endsWith("\r");
    this.#rest += text;

    const frames = [];
    let start = 0;
    let at = this.#scanned;
    for (; at < this.#rest.length; at += 1) {
      const code = this.#rest.charCodeAt(at);
      if (code !== 10 && code !== 13) continue;
      this.#line(this.#rest.slice(start, at), frames);
      if (code === 13 && this.#rest.charCodeAt(at + 1) === 10) at += 1;
      start = at + 1;
    }
    this.#rest = this.#rest.slice(start);
    this.#scanned = this.#rest.length;
    if (this.#scanned + this.#dataLength > LONGEST) throw new Error("a frame of the stream is too long");
    return frames;
  }

  #line(line, frames) {
    if (line === "") {
      if (this.#data.length > 0) {
        frames.push({ id: this.#id, event: this.#event || "message", data: this.#data.join("\n") });
      }
      this.#id = "";
      this.#event = "";
      this.#data = [];
      this.#dataLength = 0;
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value[0] === " ") value = value.slice(1);
    if (field === "data") {
      this.#data.push(value);
      this.#dataLength += value.length;
    } else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "retry" && /^\d{1,7}$/.test(value)) this.retry = Number(value);
  }
}
