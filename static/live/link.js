// The way from a page to the one stream of its browser. Six streams would use up all connections a browser has for a
// server, and a STOP would wait behind them for ever: so there is one, in a SharedWorker; without those, in the page that
// holds a lock, which hands out to the others; without locks (plain http to another machine), one for each page.
import { Hub } from "./hub.js";
import { trustedScript } from "./trusted.js";

/** Best first. Each: `open(receive, failed) -> {post, close}`; `failed` tells that this way leads nowhere. */
export function ways(worker) {
  return [
    ...(worker && "SharedWorker" in self ? [(receive, failed) => throughWorker(worker, receive, failed)] : []),
    ...(navigator.locks && "BroadcastChannel" in self ? [throughLeader] : []),
    alone,
  ];
}

function throughWorker(url, receive, failed) {
  let shared;
  try {
    shared = new SharedWorker(trustedScript(url), { type: "module", name: "crucible" });
  } catch {
    queueMicrotask(failed);
    return { post() {}, close() {} };
  }
  shared.addEventListener("error", failed);
  shared.port.addEventListener("message", ({ data }) => receive(data));
  shared.port.start();
  return { post: (message) => shared.port.postMessage(message), close: () => shared.port.close() };
}

function throughLeader(receive) {
  const me = crypto.getRandomValues(new Uint32Array(4)).join("-");
  const channel = new BroadcastChannel("crucible");
  let hub = null;
  let release = null;
  const abort = new AbortController();
  channel.addEventListener("message", ({ data: { to, from, message } }) => {
    if (hub && from) hub.hear(from, message, (answer) => channel.postMessage({ to: from, message: answer }));
    else if (to === me || to === "all") receive(message);
  });
  const lead = () => {
    hub = new Hub();
    receive({ op: "lost" });
    channel.postMessage({ to: "all", message: { op: "lost" } });
    return new Promise((resolve) => {
      release = resolve;
    });
  };
  navigator.locks.request("crucible-stream", { signal: abort.signal }, lead).catch(() => {}); // aborted: the page leaves
  return {
    post(message) {
      if (hub) hub.hear(me, message, receive);
      else channel.postMessage({ from: me, message });
    },
    close() {
      abort.abort();
      hub?.close();
      release?.();
      channel.close();
    },
  };
}

function alone(receive) {
  const hub = new Hub();
  return { post: (message) => hub.hear("me", message, receive), close() {} };
}
