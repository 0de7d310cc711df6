// Asking and steering: answers come line by line; whatever a model or a file says is put in as text.

const $ = (id) => document.getElementById(id);
let asking = null; // what is being answered; aborting it tells the viewer that nobody waits any more

function told(text, isWaiting = false) {
  $("told").firstElementChild.textContent = text;
  $("cancel").hidden = !isWaiting;
}
const refuse = (text) => { $("refused").textContent = text; };

$("cancel")?.addEventListener("click", () => asking?.abort());

async function* lines(address, body) {
  asking?.abort();
  const own = asking = new AbortController();
  refuse("");
  told("Asking …", true);
  try {
    const answer = await fetch(address, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" }, signal: own.signal });
    if (!answer.ok) throw new Error((await answer.json().catch(() => null))?.detail ?? `The viewer answered ${answer.status}.`);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    let isAnswered = false;
    for (;;) {
      const { value, done } = await reader.read();
      rest += value ?? "";
      const whole = rest.split("\n");
      rest = whole.pop();
      for (const line of whole) {
        const news = JSON.parse(line);
        if (news.refused) throw new Error(news.refused);
        if (news.waiting) told(news.waiting === 1 ? "One question goes before this." : `${news.waiting} questions go before this.`, true);
        else { isAnswered = true; yield news; }
      }
      if (done) break;
    }
    if (!isAnswered) throw new Error("The viewer has ended.");
    told("");
  } catch (error) {
    if (asking !== own) return; // something else is asked by now
    told(own.signal.aborted ? "Cancelled." : "");
    if (!own.signal.aborted) refuse(error instanceof TypeError ? "The viewer does not answer." : error.message);
  } finally {
    if (asking === own) { asking = null; $("cancel").hidden = true; }
  }
}

// A picture of one's own: chosen, dropped anywhere on the page, or pasted.
async function bring(file) {
  if (!file) return;
  refuse("");
  if ($("asked")) $("asked").hidden = true; // what stands there is of another picture
  if (file.size > 16 * 2 ** 20) return refuse(`${file.name} is larger than 16 MiB: make it smaller.`);
  told(`Bringing ${file.name} …`);
  const answer = await fetch("/api/brought", { method: "POST", body: file }).catch(() => null);
  const found = await answer?.json().catch(() => null);
  told("");
  if (!answer?.ok) return refuse(`${file.name}: ${found?.detail ?? (answer ? `the viewer answered ${answer.status}` : "the viewer does not answer")}`);
  onPicture(found.picture);
}
if ($("drop")) {
  const over = (is) => $("drop").classList.toggle("over", is);
  $("own").addEventListener("change", (event) => { bring(event.target.files[0]); event.target.value = ""; });
  document.addEventListener("dragover", (event) => { event.preventDefault(); over(true); });
  document.addEventListener("dragleave", () => over(false));
  document.addEventListener("drop", (event) => { event.preventDefault(); over(false); bring(event.dataTransfer.files[0]); });
  document.addEventListener("paste", (event) => bring(event.clipboardData.files[0]));
}

let onPicture = () => {};
const made = (tag, className, text = "") => {
  const found = document.createElement(tag);
  found.className = className;
  found.textContent = text;
  return found;
};
const number = (value) => Math.abs(value) >= 1 ? String(Number(value.toPrecision(3))) : value.toFixed(2);

// Which features a picture activates.
const ask = $("ask");
if (ask) {
  let picture = ask.dataset.picture;
  let sighting = null;
  let heats = [];

  async function run() {
    if (!picture) return;
    history.replaceState(null, "", `/ask?run=${ask.run.value}&picture=${picture}&order=${ask.order.value}`);
    const wanted = { run: Number(ask.run.value), picture, order: ask.order.value, n: Number(ask.n.value) };
    for await (const news of lines("/api/ask", wanted)) show(news);
  }

  function show(news) {
    ({ sighting, heats } = news);
    const [width, height] = sighting.size;
    const [left, top, right, bottom] = sighting.box;
    const svg = $("seen").querySelector("svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    for (const [name, value] of Object.entries({ x: left, y: top, width: right - left, height: bottom - top })) svg.querySelector("image").setAttribute(name, value);
    $("shown").width = width;
    $("shown").height = height;
    $("shown").src = `/brought/${picture}.webp`;
    $("n").textContent = `${sighting.n_active} features are active after block ${sighting.layer}` + (sighting.features.length < sighting.n_active ? `, ${sighting.features.length} of them here` : "");
    $("fired").replaceChildren(...sighting.features.map(row));
    $("asked").hidden = false;
    veil(null);
  }

  function row(feature, place) {
    const item = made("li", "fire");
    item.tabIndex = 0;
    const words = made("b", "", feature.words || "not in words yet");
    words.title = feature.words;
    if (!feature.words) words.className = "faint";
    const facts = made("span", "faint", `${number(feature.activation)}, peak ${number(feature.peak)}` + (feature.largest ? ` of ${number(feature.largest)}` : "") + (feature.sure === null ? "" : `, ${Math.round(100 * feature.sure)}% sure`));
    const isKnown = feature.words || feature.frequency !== null;
    const page = made(isKnown ? "a" : "span", "", `feature ${feature.feature_id}`);
    if (isKnown) page.href = `/runs/${ask.run.value}/features/${feature.feature_id}`;
    const steer = made("a", "", "steer");
    steer.href = `/steer?run=${ask.run.value}&feature=${feature.feature_id}`;
    const on = made("a", "", "steer it here");
    on.href = `${steer.href}&picture=${picture}`;
    item.classList.toggle("wordless", !feature.words);
    item.append(words, facts, page, steer, on);
    for (const event of ["pointerenter", "focusin"]) item.addEventListener(event, () => veil(place));
    item.addEventListener("pointerleave", () => veil(null));
    return item;
  }

  function veil(place) {
    const image = $("seen").querySelector("image");
    if (place === null) image.removeAttribute("href"); else image.setAttribute("href", heats[place]);
    [...$("fired").children].forEach((each, other) => each.classList.toggle("seen", other === place));
  }

  // What is active on the patch under the cursor, the most active first.
  function look(event) {
    const { left, top, width, height } = $("seen").getBoundingClientRect();
    const [x0, y0, x1, y1] = sighting.box;
    const [rows, columns] = sighting.grid ?? [0, 0];
    const column = Math.floor(((event.clientX - left) / width * sighting.size[0] - x0) / (x1 - x0) * columns);
    const row = Math.floor(((event.clientY - top) / height * sighting.size[1] - y0) / (y1 - y0) * rows);
    const patch = row * columns + column;
    const isSeen = row >= 0 && row < rows && column >= 0 && column < columns;
    const here = sighting.features.map((each, place) => [each.patches.indexOf(patch), place]).filter(([where]) => isSeen && where >= 0)
      .map(([where, place]) => ({ place, value: sighting.features[place].activations[where], of: sighting.features[place] })).sort((a, b) => b.value - a.value);
    [...$("fired").children].forEach((each, place) => each.classList.toggle("here", here.some((found) => found.place === place)));
    $("under").textContent = here.length ? `Here: ${here.slice(0, 6).map(({ of, value }) => `${of.words || of.feature_id} (${number(value)})`).join(", ")}` : "None of these is active here.";
    const spot = $("seen").querySelector("rect");
    spot.toggleAttribute("hidden", !isSeen);
    const side = [(x1 - x0) / columns, (y1 - y0) / rows];
    for (const [name, value] of Object.entries({ x: x0 + column * side[0], y: y0 + row * side[1], width: side[0], height: side[1] })) spot.setAttribute(name, value);
  }
  $("seen").addEventListener("pointermove", look);
  $("seen").addEventListener("click", look);
  $("seen").addEventListener("pointerleave", () => {
    for (const each of $("fired").children) each.classList.remove("here");
    $("seen").querySelector("rect").setAttribute("hidden", "");
  });
  onPicture = (name) => { picture = name; run(); };
  ask.addEventListener("change", (event) => { if (event.target.matches("select")) run(); });
  ask.addEventListener("submit", (event) => event.preventDefault());
  run();
}

// What is said when a feature is pushed.
const push = $("push");
if (push) {
  let result = null;

  function wanted(factors) {
    const { strength, random, mode, layer, ...rest } = Object.fromEntries(new FormData(push));
    for (const name of ["run", "feature", "temperature", "max_new_tokens", "seed"]) rest[name] = Number(rest[name]);
    const round = (value) => Number(value.toPrecision(6));
    return { ...rest, strengths: factors.map((each) => round(each * Number(strength))), random: random !== undefined, mode: mode || null, layer: layer === "" ? null : Number(layer) };
  }

  const usual = { along: "", method: "steering", empty: "white", positions: "all", temperature: "0", seed: "0", max_new_tokens: "64" };

  async function steer(factors) {
    if (!push.reportValidity()) return;
    const asked = wanted(factors);
    const { run, feature } = asked;
    const settings = [...new FormData(push)].map(([name, value]) => [name, value === "on" ? "true" : value]);
    const own = settings.filter(([name, value]) => value !== "" && usual[name] !== value);
    history.replaceState(null, "", `/steer?${new URLSearchParams(own)}`);
    const steps = [...(["steering", "one-word"].includes(asked.method) ? ["nothing pushed"] : []), ...asked.strengths.map(number), ...(asked.random ? [`${number(asked.strengths[Math.floor(asked.strengths.length / 2)])} of a random direction`] : [])];
    const rows = steps.map((each) => {
      const item = made("li", "answer waits");
      item.append(made("span", "n faint", each), made("span", "words", "…"));
      return item;
    });
    $("answers").replaceChildren(...rows);
    if ($("of").getAttribute("href") !== `/runs/${run}/features/${feature}`) {
      $("of").href = `/runs/${run}/features/${feature}`;
      $("of").textContent = feature;
    }
    $("keep").hidden = $("command").hidden = true;
    for await (const news of lines("/api/steer", asked)) {
      if (news.result) return finish(news, asked);
      const item = rows[news.number];
      told(`Asking, ${news.number + 1} of ${steps.length} …`, true);
      if (news.words !== undefined) item.lastElementChild.textContent = `${news.words} …`;
      if (news.answer) {
        item.classList.remove("waits");
        const { status, text, reason } = news.answer;
        item.lastElementChild.textContent = status === "ok" ? text : `${status}: ${reason}`;
        item.lastElementChild.classList.toggle("faint", status !== "ok");
      }
    }
    for (const item of rows) if (item.classList.contains("waits")) item.lastElementChild.textContent = "–";
  }

  function finish(news, asked) {
    told("");
    result = news.result;
    $("command").querySelector("code").textContent = news.command;
    $("keep").name.value = `feature ${asked.feature}` + (asked.prompt ? `: ${asked.prompt}` : "");
    $("keep").name.value = $("keep").name.value.slice(0, 120);
    $("keep").hidden = $("command").hidden = false;
  }

  push.addEventListener("submit", (event) => { event.preventDefault(); steer([1]); });
  $("sweep").addEventListener("click", () => {
    const factors = $("sweep").dataset.factors.split(",").map(Number);
    steer(push.unit.value === "kl" ? factors.filter((each) => each > 0) : factors); // nats are never negative
  });
  onPicture = (name) => {
    push.picture.value = name;
    $("shown").src = `/brought/${name}.webp`;
    $("shown").hidden = $("empty").hidden = false;
  };
  $("empty").addEventListener("click", () => {
    push.picture.value = "";
    $("shown").hidden = $("empty").hidden = true;
  });
  push.elements.run.addEventListener("change", () => location.assign(`/steer?run=${push.elements.run.value}`));
  $("keep").addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = await fetch("/api/bookmarks", { method: "POST", body: JSON.stringify({ result, name: $("keep").name.value }), headers: { "content-type": "application/json" } }).catch(() => null);
    const found = await answer?.json().catch(() => null);
    if (answer?.ok) location.assign(`/steer/${found.run}/${found.bookmark_id}`);
    else refuse(found?.detail ?? "The viewer does not answer.");
  });
}
