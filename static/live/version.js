// A page that is older than its server: offered a reload, and reloaded by itself only where nobody is looking.
import { banner, textBanner } from "./chrome.js";

let theirs = "";

/** @param version the server's, which is not this page's */
export function outdated(version) {
  theirs = version;
  const ours = document.body.dataset.version;
  banner("version", textBanner(`The server was updated to version ${theirs}; this page is from ${ours}.`, { href: location.href, text: "Reload" }));
  reloadUnseen();
}

/** Called when the page goes into the background, too. What someone has typed is kept: such a page waits. */
export function reloadUnseen() {
  if (theirs && document.hidden && !typed()) location.reload();
}

function typed() {
  return [...document.querySelectorAll("main input, main textarea, main select")].some((field) => {
    if (field.type === "hidden" || field.closest(".log, .wall-tools")) return false;
    if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
    if (field.localName === "select") return [...field.options].some((option) => option.selected !== option.defaultSelected && option.defaultSelected);
    return field.value !== field.defaultValue;
  });
}
