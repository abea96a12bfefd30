// The SharedWorker: the one stream of this browser, whatever the number of its pages.
import { Hub } from "./hub.js";

const hub = new Hub();

self.addEventListener("connect", ({ ports: [port] }) => {
  const send = (message) => port.postMessage(message);
  port.addEventListener("message", ({ data }) => hub.hear(port, data, send));
  port.start();
});
