// STOP. The page shows the press at once, the server's word when it comes, and says loudly when it does not come.
// Without this module the same buttons are plain forms.
import { banner, say, textBanner } from "./chrome.js";
import { clock, provenDead, serverNow, serverSilent } from "./clock.js";

const ANSWER_WITHIN = 3_000; // ms
const HOLD = 800; // ms
const CONFIRM_WITHIN = 5_000; // ms

const pressed = new Map(); // "42", "evaluation-7" or "all" -> true until the page's own state says so

/** Every button of the page's shared forms comes through here. */
async function onSubmit(event) {
  const button = event.submitter;
  const action = button?.getAttribute("formaction") ?? event.target.getAttribute("action");
  if (!button || !["act", "release"].includes(event.target.id)) return;
  if (button.hasAttribute("hx-post") || button.hasAttribute("data-native")) return; // htmx, or a page that must change
  const url = new URL(action, location.href);
  if (/\/again$/.test(url.pathname)) return; // leads to the new run's page
  event.preventDefault();
  const body = new URLSearchParams(new FormData(event.target, button));
  if (button.dataset.stop) await pressStop(button.dataset.stop, url, body, event.target, button);
  else await send(url, body, event.target, button);
}

async function pressStop(what, url, body, form, button) {
  pressed.set(what, true);
  reapply(document);
  document.getElementById("stop-all")?.removeAttribute("open");
  const whose = what === "all" ? "any run" : `${/^\d/.test(what) ? "run " : ""}${what.replace("-", " ")}`;
  const name = what === "all" ? "STOP ALL" : `Stop of ${whose}`;
  const from = serverNow();
  let proof = null; // the warden's: when, and how many sandboxes it ended
  for (let attempt = 1; pressed.has(what); attempt += 1) {
    const result = await post(url, body);
    if (result.ok || result.signedOut || result.refused) {
      serverSilent(null);
      provenDead(what, null);
    }
    if (result.ok) {
      pressed.delete(what);
      banner(`stop-${what}`, null);
      say(`${name} received.`);
      return;
    }
    if (result.signedOut) return leaveTo(form, button); // sign-in comes back to this page and asks to press again
    if (result.refused) {
      pressed.delete(what);
      reapply(document);
      banner(`stop-${what}`, textBanner(`${name} was refused: ${result.text}`));
      return;
    }
    const silence = () => `${name}: no answer for ${Math.round(serverNow() - from)} s (attempt ${attempt}).`;
    const show = (told) => notConfirmed(what, { silence: silence(), told, dead: proof && deadSince(whose, proof) });
    show(proof ? provenBy(whose, proof) : "");
    const answer = await askWarden(what);
    serverSilent(answer?.received ? serverNow() : 0);
    if (answer?.proven) {
      proof ??= { at: serverNow(), ended: answer.ended }; // Asked again it finds nothing any more.
      provenDead(what, proof.at);
    } else if (answer?.received && answer.ended) {
      proof = null; // something came up again
      provenDead(what, null);
    }
    if (answer && pressed.has(what)) show(proof ? provenBy(whose, proof) : notProven(answer));
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

/** A request that ends by itself. `ok`, `refused` (final), `signedOut`, or none of them: try again. */
async function post(url, body) {
  try {
    const response = await fetch(url, {
      method: "POST",
      body,
      headers: { Accept: "application/json" },
      signal: AbortSignal.timeout(ANSWER_WITHIN),
      redirect: "manual",
    });
    if (response.ok) return { ok: true };
    if (response.status === 401 || response.type === "opaqueredirect") return { signedOut: true };
    if (response.status >= 500 && response.status !== 503) return {};
    return { refused: response.status < 500, text: await problemText(response) };
  } catch {
    return {}; // no answer in time, or no connection
  }
}

async function problemText(response) {
  try {
    const { error } = await response.json();
    return [error.where, error.what, error.todo].filter(Boolean).join(" ");
  } catch {
    return `the server answered ${response.status}.`;
  }
}

function leaveTo(form, button) {
  button.setAttribute("data-native", "");
  form.requestSubmit(button);
}

/** The second way: the warden's own port, which needs nothing of the server. What it answers; null for nothing. */
async function askWarden(what) {
  const { stopDoor, stopToken } = document.body.dataset;
  if (!stopDoor) return null;
  const [, kind, number] = /^(?:(evaluation)-)?(\d+)$/.exec(what) ?? [null, "all", 0];
  try {
    const response = await fetch(`${stopDoor}/stop`, {
      method: "POST",
      headers: { "Content-Type": "text/plain" }, // asks nobody for leave first
      body: JSON.stringify({ token: stopToken, what: kind ?? "run", number: Number(number) }),
      signal: AbortSignal.timeout(ANSWER_WITHIN),
      credentials: "omit",
      redirect: "error",
    });
    return await response.json();
  } catch {
    return null; // no warden there, or it hangs too
  }
}

const sandboxes = (count) => `${count} sandbox${count === 1 ? "" : "es"}`;

function deadSince(whose, { at }) {
  const what = whose === "any run" ? "All runs are" : `${whose[0].toUpperCase()}${whose.slice(1)} is`;
  return `${what} dead, proven by the warden at ${clock(at).slice(0, 8)}; the server has not confirmed its record yet.`;
}

function provenBy(whose, { ended }) {
  return `The warden, asked by its own port, ${ended ? `ended ${sandboxes(ended)} and ` : ""}proved that nothing is left of ${whose}.`;
}

function notProven({ received, ended, error }) {
  if (!received) return "The warden, asked by its own port, refused.";
  return `The warden, asked by its own port, is ending it${ended ? ` (${sandboxes(ended)} so far)` : ""}${error ? `: ${error}` : "."}`;
}

/** `dead`: what the warden has proven; then only the record is missing. */
function notConfirmed(what, { silence, told, dead }) {
  const template = document.getElementById("not-confirmed");
  const element = template.content.firstElementChild.cloneNode(true);
  element.querySelector("[data-what]").textContent = silence;
  element.querySelector("[data-warden]").textContent = told;
  if (dead) {
    element.querySelector("[data-head]").textContent = dead;
    element.querySelector("[data-goes-on]").textContent = "Crucible goes on telling the server.";
    element.querySelector(".commands").hidden = true;
  }
  banner(`stop-${what}`, element);
}

/** Freeze, thaw, reason, release, alerts: sent in place; the stream brings the change. */
async function send(url, body, form, button) {
  button.disabled = true;
  const result = await post(url, body);
  button.disabled = false;
  if (result.signedOut) leaveTo(form, button);
  else if (!result.ok) say(result.text ?? "The server did not answer. Try again.", 8);
}

/** Buttons that were pressed keep looking pressed when a fragment that is a moment old replaces them. */
export function reapply(root) {
  for (const button of root.querySelectorAll("[data-stop]")) {
    const down = pressed.has(button.dataset.stop) || (pressed.has("all") && button.dataset.stop !== "all");
    button.classList.toggle("is-pressed", down);
    button.toggleAttribute("data-own-pressed", down);
    const word = button.querySelector("span");
    if (word) word.textContent = down ? "STOPPING" : "STOP";
  }
}

/** Holding STOP ALL does it; a short press opens the confirmation, which closes itself. */
function startStopAll() {
  let holding = 0;
  let done = false;
  let closing = 0;
  const octagon = (event) => event.target.closest?.("#stop-all > summary");
  const confirm = () => document.querySelector("#stop-all .stop-now");
  const release = () => {
    clearTimeout(holding);
    document.querySelector("#stop-all > summary")?.classList.remove("is-held");
  };
  document.addEventListener("pointerdown", (event) => {
    const summary = octagon(event);
    if (!summary || event.button !== 0) return;
    done = false;
    summary.classList.add("is-held");
    holding = setTimeout(() => {
      done = true;
      release();
      confirm().form.requestSubmit(confirm());
    }, HOLD);
  });
  for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, release);
  document.addEventListener("pointermove", (event) => {
    // Sliding off takes the press back.
    if (holding && !document.elementFromPoint(event.clientX, event.clientY)?.closest("#stop-all > summary")) release();
  });
  document.addEventListener("click", (event) => {
    if (octagon(event) && done) event.preventDefault(); // the hold was the press
    else if (!event.target.closest("#stop-all")) document.getElementById("stop-all")?.removeAttribute("open");
  });
  document.addEventListener("keydown", (event) => {
    const open = document.querySelector("#stop-all[open]");
    if (event.key !== "Escape" || !open) return;
    open.removeAttribute("open");
    open.querySelector("summary").focus();
  });
  document.addEventListener("contextmenu", (event) => {
    if (octagon(event)) event.preventDefault(); // a long touch
  });
  document.addEventListener("toggle", (event) => {
    if (event.target.id !== "stop-all") return;
    clearTimeout(closing);
    if (!event.target.open) return;
    confirm().focus();
    closing = setTimeout(() => document.getElementById("stop-all")?.removeAttribute("open"), CONFIRM_WITHIN);
  }, true);
}

export function startStop() {
  document.addEventListener("submit", onSubmit);
  startStopAll();
}
