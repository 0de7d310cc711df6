// Whoever judges gives a name once; what they said is marked, and can be taken back. Pages work without it.
"use strict";

const NAME = "rater";

const judged = () => document.getElementById("judged");

// Without storage, as in a private window, a name is remembered as long as the page.
let rater = "";
try { rater = localStorage.getItem(NAME) ?? ""; } catch { /* not to be had */ }

function remember(name) {
  rater = name;
  try { localStorage.setItem(NAME, name); } catch { /* not to be had */ }
}

function mark() {
  const section = judged();
  if (!section) return;
  const as = section.querySelector(".as");
  as.hidden = !rater;
  as.querySelector("b").textContent = rater;
  for (const item of section.querySelectorAll(".judgement")) {
    const form = item.querySelector("form");
    const own = [...item.querySelectorAll("[data-rater]")].find((each) => each.dataset.rater === rater);
    form.elements.rater.value = rater;
    form.querySelector(".who").hidden = Boolean(rater);
    form.querySelector(".back").hidden = !own;
    if (own) form.elements.note.value = own.dataset.note;
    for (const each of form.querySelectorAll(".choice button")) {
      each.setAttribute("aria-pressed", String(each.value === own?.dataset.verdict));
    }
  }
}

document.addEventListener("click", (event) => {
  if (!event.target.matches("#judged .as button")) return;
  remember("");
  mark();
  judged().querySelector("[name=rater]").focus();
});

document.addEventListener("submit", (event) => {
  if (event.target.matches("[data-judging]")) remember(event.target.elements.rater.value.trim().replace(/\s+/g, " "));
}, true);

// The section comes anew, and whoever uses keys goes on where they were.
let place = null;
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.target !== judged()) return;
  const forms = [...judged().querySelectorAll("form")];
  const form = document.activeElement?.closest("form");
  place = forms.includes(form) ? [forms.indexOf(form), document.activeElement.value, document.activeElement.name] : null;
});
document.addEventListener("htmx:afterSettle", async (event) => {
  if (event.target.id === "known" && judged() && !judged().contains(document.activeElement)) {
    // words that are new can be judged; what somebody is writing is left alone
    await htmx.ajax("GET", location.pathname, { target: "#judged", select: "#judged", swap: "outerHTML" });
  }
  mark();
  if (!place) return;
  const [which, value, name] = place;
  place = null;
  const form = judged()?.querySelectorAll("form")[which];
  const same = [...form?.elements ?? []].find((each) => each.name === name && (name !== "verdict" || each.value === value));
  (same && !same.hidden ? same : form?.querySelector(".choice button"))?.focus({ preventScroll: true });
});

document.addEventListener("htmx:responseError", (event) => {
  const told = judged()?.querySelector(".refused");
  if (!told) return;
  try { told.textContent = JSON.parse(event.detail.xhr.responseText).detail; } catch { told.textContent = "The viewer does not answer."; }
});
document.addEventListener("htmx:sendError", () => {
  const told = judged()?.querySelector(".refused");
  if (told) told.textContent = "The viewer does not answer.";
});

mark();
