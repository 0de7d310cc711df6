// Keys, the heatmap's slider, and what is new while a run is being written. Pages work without it.
"use strict";

const typing = (target) => target.matches("input, select, textarea");

const cards = () => [...document.querySelectorAll("[data-step]")];

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && typing(event.target)) return event.target.blur();
  if (typing(event.target)) return;
  if (event.key === "/") {
    const search = document.getElementById("text");
    event.preventDefault();
    if (search) search.select(); else location.assign("/");
  }
  if (event.key !== "j" && event.key !== "k") return;
  const step = event.key === "j" ? 1 : -1;
  const all = cards();
  const next = all.indexOf(document.activeElement) + step;
  if (all[next]) all[next].focus();
  else document.querySelector(step > 0 ? "[data-after]" : "[data-before]")?.click();
});

document.addEventListener("input", (event) => {
  if (event.target.id === "heat") document.documentElement.style.setProperty("--heat", event.target.value / 100);
});

// What is asked for anew keeps to its page: an address with nothing in it for what is not asked.
document.addEventListener("htmx:configRequest", (event) => {
  const { parameters } = event.detail;
  for (const name of Object.keys(parameters)) if (parameters[name] === "") delete parameters[name];
  if (parameters.order === "id") delete parameters.order;
});

let seen = Number(document.body.dataset.version);
async function look() {
  if (document.hidden) return;
  const answer = await fetch("/api/version").catch(() => null);
  if (!answer?.ok) return;
  const { version, done, total } = await answer.json();
  const live = document.getElementById("live");
  live.textContent = done < total ? `Reading features: ${done} of ${total}` : "";
  const part = document.querySelector("[data-live]");
  if (version === seen || !part) return;
  seen = version;
  if (part.contains(document.activeElement)) return;
  htmx.ajax("GET", part.id === "found" ? location.pathname + location.search : part.dataset.live, {
    target: `#${part.id}`, select: part.id === "found" ? undefined : `#${part.id}`, swap: part.id === "found" ? "innerHTML" : "outerHTML",
  });
}
setInterval(look, 3000);
