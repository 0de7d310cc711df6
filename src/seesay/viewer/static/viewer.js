// Keys, the heatmap's slider, and what is new while a run is being written. Pages work without it.
"use strict";

const typing = (target) => target.matches("input, select, textarea");

const cards = () => [...document.querySelectorAll("[data-step]")];

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && typing(event.target)) {
    event.preventDefault(); // a search field would be emptied
    return event.target.blur();
  }
  if (typing(event.target)) return;
  if (event.key === "/") {
    const search = document.getElementById("text");
    event.preventDefault();
    if (search) search.select(); else location.assign("/#text");
  }
  if (event.key !== "j" && event.key !== "k") return;
  const step = event.key === "j" ? 1 : -1;
  const all = cards();
  const next = all.indexOf(document.activeElement) + step;
  if (all[next]) all[next].focus();
  else document.querySelector(step > 0 ? "[data-after]" : "[data-before]")?.click();
});

if (location.hash === "#text") document.getElementById("text")?.focus();

document.addEventListener("input", (event) => {
  if (event.target.id === "heat") veil(event.target.value);
});

// How strong heatmaps are is remembered for all pages.
function veil(strength) {
  document.documentElement.style.setProperty("--heat", strength / 100);
  localStorage.setItem("heat", strength);
}
const strength = localStorage.getItem("heat");
if (strength !== null) {
  veil(strength);
  const slider = document.getElementById("heat");
  if (slider) slider.value = strength;
}

// A picture that features shall be near to goes to the viewer, which gives it a name; the form shall not see it.
const bring = document.getElementById("bring");
if (bring) bring.parentElement.hidden = false;
document.addEventListener("change", async (event) => {
  if (event.target !== bring || !bring.files.length) return;
  event.stopImmediatePropagation();
  const answer = await fetch("/api/brought", { method: "POST", body: bring.files[0] }).catch(() => null);
  const told = await answer?.json().catch(() => null);
  if (answer?.ok) location.assign(`/?picture=${told.picture}`);
  else document.getElementById("refused").textContent = told?.detail ?? "The viewer does not answer.";
}, true);

// What is asked for anew keeps to its page: an address with nothing in it for what is not asked.
document.addEventListener("htmx:configRequest", (event) => {
  if (event.detail.verb !== "get") return; // forms that change something are sent as they are
  const { parameters } = event.detail;
  for (const name of Object.keys(parameters)) if (parameters[name] === "") delete parameters[name];
  if (parameters.order === "id") delete parameters.order;
  if (parameters.by === "words") delete parameters.by;
});

let seen = Number(document.body.dataset.version);
async function look() {
  if (document.hidden) return;
  const answer = await fetch("/api/version").catch(() => null);
  if (!answer?.ok) return;
  const { version, done, total, read, to_read } = await answer.json();
  const live = document.getElementById("live");
  live.textContent = done < total ? `Reading features: ${done} of ${total}` : read < to_read ? `Reading pictures: ${read} of ${to_read}` : "";
  const part = document.querySelector("[data-live]");
  if (version === seen || !part) return;
  const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  seen = version;
  const opened = [...part.querySelectorAll("details[open] > summary")].map((each) => each.textContent);
  await htmx.ajax("GET", part.id === "found" ? location.pathname + location.search : part.dataset.live, {
    target: `#${part.id}`, select: part.id === "found" ? undefined : `#${part.id}`, swap: part.id === "found" ? "innerHTML" : "outerHTML",
  });
  for (const each of document.querySelectorAll(`#${part.id} summary`)) if (opened.includes(each.textContent)) each.parentElement.open = true;
  if (focused) document.querySelector(`#${part.id} a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}
setInterval(look, 3000);
