// Keys for the verdicts, how long one looks, and how dim the rest of a picture is. Pages work without it.
"use strict";

const form = document.getElementById("rating");
const slider = document.getElementById("heat");

// Time counts while the page is to be seen.
let looked = 0;
let since = document.hidden ? null : performance.now();
document.addEventListener("visibilitychange", () => {
  if (since !== null) looked += performance.now() - since;
  since = document.hidden ? null : performance.now();
});

let isSent = false;
window.addEventListener("pageshow", () => { isSent = false }); // whoever comes back may say something else
form?.addEventListener("submit", (event) => {
  if (isSent) return event.preventDefault();
  isSent = true;
  setTimeout(() => { isSent = false }, 3000); // what did not arrive is sent again
  const now = since === null ? 0 : performance.now() - since;
  form.elements.seconds.value = ((looked + now) / 1000).toFixed(2);
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.matches("textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  form?.querySelectorAll(".choice button")[["1", "2", "3"].indexOf(event.key)]?.click();
});

function veil(strength) {
  document.documentElement.style.setProperty("--heat", strength / 100);
  try { localStorage.setItem("heat", strength); } catch { /* as long as the page */ }
}
let strength = null;
try { strength = localStorage.getItem("heat"); } catch { /* not to be had */ }
if (slider && strength !== null) {
  slider.value = strength;
  veil(strength);
}
slider?.addEventListener("input", () => veil(slider.value));
