// A page that is older than its server: offered a reload, and reloaded by itself only where nobody is looking.
import { banner, textBanner } from "./chrome.js";

let old = false;

/** @param version the server's, which is not this page's */
export function outdated(version) {
  const ours = document.body.dataset.version;
  offer("version", `The server was updated to version ${version}; this page is from ${ours}.`);
}

/** @param port where the warden hears pages now; a page may ask only where its own policy lets it */
export function doorAt(port) {
  const { stopDoor } = document.body.dataset;
  if (!port || (stopDoor && new URL(stopDoor).port === port)) return banner("door", null);
  return offer("door", "STOP on this page has lost its second way, the warden's own port, which is another now. The first one works.");
}

function offer(key, text) {
  old = true;
  banner(key, textBanner(text, { href: location.href, text: "Reload" }));
  reloadUnseen();
}

/** Called when the page goes into the background, too. What someone has typed is kept: such a page waits. */
export function reloadUnseen() {
  if (old && document.hidden && !typed()) location.reload();
}

function typed() {
  return [...document.querySelectorAll("main input, main textarea, main select")].some((field) => {
    if (field.type === "hidden" || field.closest(".log, .wall-tools")) return false;
    if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
    if (field.localName === "select") return [...field.options].some((option) => option.selected !== option.defaultSelected && option.defaultSelected);
    return field.value !== field.defaultValue;
  });
}
