// What calls someone back to a page that is out of sight: the icon always; a message and a sound for who asked for them.
// They say that there is an alert and how grave it is, never what an agent wrote.
import { say } from "./chrome.js";

const KEYS = { note: "cue-note", sound: "cue-sound" };

let grave = 0; // id of the newest grave alert that was cued
let sound = null; // an AudioContext that a press has allowed

const wants = (key) => {
  try {
    return localStorage.getItem(KEYS[key]) === "on";
  } catch {
    return false;
  }
};

function remember(key, on) {
  try {
    localStorage.setItem(KEYS[key], on ? "on" : "off");
  } catch {
    // not remembered
  }
  show(key);
}

function show(key) {
  const button = document.getElementById(KEYS[key]);
  if (!button) return;
  const on = wants(key);
  button.setAttribute("aria-pressed", String(on));
  button.textContent = `${key === "note" ? "Notify" : "Sound"}: ${on ? "on" : "off"}`;
}

async function toggleNote() {
  if (wants("note")) return remember("note", false);
  if (!("Notification" in self) || !isSecureContext) {
    return say("This browser shows messages only of pages that come by https or from this machine.");
  }
  if ((await Notification.requestPermission()) !== "granted") return say("The browser was told not to show messages of this page.");
  return remember("note", true);
}

function toggleSound() {
  if (wants("sound")) return remember("sound", false);
  remember("sound", true);
  ring();
  return undefined;
}

/** Two tones. A page on which nobody pressed anything may not make a sound: browsers forbid it. */
function ring() {
  try {
    sound ??= new AudioContext();
    for (const [place, pitch] of [880, 660].entries()) {
      const tone = sound.createOscillator();
      const level = sound.createGain();
      tone.frequency.value = pitch;
      level.gain.value = 0.08;
      tone.connect(level).connect(sound.destination);
      tone.start(sound.currentTime + place * 0.25);
      tone.stop(sound.currentTime + place * 0.25 + 0.2);
    }
  } catch {
    // no sound here
  }
}

/** One page of the browser speaks for all of them. */
function once(name, act) {
  if (!navigator.locks) return act();
  return navigator.locks.request(`crucible-${name}`, { ifAvailable: true }, (lock) => {
    if (!lock) return undefined;
    act();
    return new Promise((resolve) => setTimeout(resolve, 2_000));
  });
}

/** @param strip the header's live part, as it is now */
export function cue(strip) {
  const { alerts, worst, grave: newest } = strip.dataset;
  const icon = document.getElementById("icon");
  icon.dataset.plain ??= icon.getAttribute("href");
  const href = Number(alerts) && (worst === "high" || worst === "critical") ? icon.dataset.alert : icon.dataset.plain;
  if (icon.getAttribute("href") !== href) icon.setAttribute("href", href);
  if (Number(newest) <= grave) return;
  grave = Number(newest);
  if (wants("sound")) once("sound", ring);
  if (wants("note") && document.hidden) {
    once("note", () => {
      const note = new Notification("Crucible: a grave alert", { body: `${alerts} open, the worst is ${worst}.`, tag: "crucible-alerts" });
      note.addEventListener("click", () => {
        focus();
        location.assign("/alerts");
      });
    });
  }
}

export function startCues() {
  const strip = document.getElementById("strip");
  if (!strip) return;
  grave = Number(strip.dataset.grave); // what was there before this page is nothing new
  cue(strip);
  document.getElementById(KEYS.note).addEventListener("click", toggleNote);
  document.getElementById(KEYS.sound).addEventListener("click", toggleSound);
  show("note");
  show("sound");
}
