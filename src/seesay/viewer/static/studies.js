// Links are copied by a button, where the browser lets it: else they are chosen, for the reader's own keys.
"use strict";

for (const button of document.querySelectorAll(".copy")) button.hidden = false;

document.addEventListener("click", async (event) => {
  const field = event.target.closest(".link")?.querySelector("input");
  if (!field) return;
  if (event.target === field) field.select();
  if (!event.target.matches(".copy")) return;
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    event.target.textContent = "Copied";
  } catch {
    event.target.textContent = "Press Ctrl+C";
  }
});
