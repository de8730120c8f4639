// Files that were dropped or chosen go to the service one after the other.
import { makeCard, setWork, takeAway } from "./card.js";
import { ask, upload } from "./api.js";
import { announce, duration, percent, size, tellTrouble } from "./words.js";

const QUEUE_FULL = 429;
const LOOKED_AT_MS = 4000; // the service looks at most files for no longer
const waiting = [];
let limits = null;
let isSending = false;

export function startUploads(refresh) {
  const drop = document.getElementById("drop");
  const input = document.getElementById("files");
  input.addEventListener("change", () => {
    take([...input.files], refresh);
    input.value = "";
  });
  for (const kind of ["dragenter", "dragover"]) {
    addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.add("is-over");
    });
  }
  for (const kind of ["dragleave", "drop", "dragend"]) {
    addEventListener(kind, (event) => {
      event.preventDefault();
      if (kind !== "dragleave" || event.relatedTarget === null) drop.classList.remove("is-over");
    });
  }
  addEventListener("drop", (event) => take([...event.dataTransfer.files], refresh));
  tellLimits();
}

async function tellLimits() {
  try {
    limits = (await ask("/v1/schema")).limits;
  } catch (problem) {
    tellTrouble(problem.message);
    return;
  }
  const kept = limits.keep_hours
    ? `its results after ${limits.keep_hours >= 48 ? `${Math.round(limits.keep_hours / 24)} days` : `${limits.keep_hours} hours`}`
    : "its results when you delete them";
  document.getElementById("limits").textContent =
    `Up to ${size(limits.max_bytes)} and ${duration(limits.max_seconds)} each. An upload is removed after its analysis, ${kept}.`;
}

function take(files, refresh) {
  const list = document.getElementById("list");
  for (const file of files) {
    const card = makeCard(file.name);
    card.querySelector(".meta").textContent = size(file.size);
    setWork(card, "waits for its turn to be sent");
    const button = card.querySelector(".delete");
    button.textContent = "Cancel";
    const item = { file, card, stop: new AbortController() };
    button.addEventListener("click", () => {
      item.stop.abort();
      takeAway(card);
      announce(`${file.name} was left out`);
    });
    list.prepend(card);
    waiting.push(item);
  }
  if (files.length) announce(files.length === 1 ? `${files[0].name} is being sent` : `${files.length} files are being sent`);
  document.getElementById("nothing").hidden = true;
  send(refresh);
}

async function send(refresh) {
  if (isSending) return;
  isSending = true;
  while (waiting.length) {
    const item = waiting.shift();
    if (!item.stop.signal.aborted) await sendOne(item, refresh);
  }
  isSending = false;
}

async function sendOne(item, refresh) {
  const { file, card } = item;
  const { signal } = item.stop;
  if (limits && file.size > limits.max_bytes) return fail(card, file, `It has ${size(file.size)}; at most ${size(limits.max_bytes)} are allowed here.`);
  while (!signal.aborted) {
    try {
      const progress = (share) => setWork(card, share < 1 ? `${percent(share)} sent` : "is looked at", share < 1 ? share : null);
      const { id } = await upload(file, progress, signal);
      if (signal.aborted) await ask(`/v1/analyses/${id}`, { method: "DELETE" }); // it was taken in just before
      takeAway(card);
      await refresh();
      return undefined;
    } catch (problem) {
      if (signal.aborted) return lookAgain(refresh);
      if (problem.status !== QUEUE_FULL) return fail(card, file, problem.message);
      await pause(card, problem.retryAfterS, signal);
    }
  }
  return undefined;
}

/** When all bytes have been sent, an upload may be taken in although it is cancelled: then the list shows it. */
function lookAgain(refresh) {
  setTimeout(refresh, LOOKED_AT_MS);
  return refresh();
}

async function pause(card, seconds, signal) {
  for (let left = seconds; left > 0 && !signal.aborted; left -= 1) {
    setWork(card, `the queue is full; next try in ${left} s`);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

function fail(card, file, text) {
  setWork(card, null);
  card.classList.add("is-failed");
  card.querySelector(".warning").textContent = text;
  const button = card.querySelector(".delete");
  button.textContent = "Dismiss";
  button.setAttribute("aria-label", `Dismiss ${file.name}`);
  announce(`${file.name} was refused: ${text}`);
}
