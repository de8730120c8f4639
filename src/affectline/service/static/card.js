// One analysis, or one upload, as a card of the list.
import { ago, duration, percent, signed, size } from "./words.js";

const STAGES = { networks: "the networks are loaded", frames: "the frames are analysed", report: "the report is written" };

const WAITS = Symbol("waits");

export function makeCard(name) {
  const card = document.getElementById("card").content.cloneNode(true).querySelector("li");
  card.querySelector(".name").textContent = name;
  card.querySelector("progress").setAttribute("aria-label", `Progress of ${name}`);
  card.querySelector(".open").hidden = card.querySelector(".menu").hidden = true;
  return card;
}

/** Show what is going on, nothing where `text` is null. `share` is null where nobody knows how far it is; what waits has no bar. */
export function setWork(card, text, share = WAITS) {
  const bar = card.querySelector("progress");
  card.querySelector(".work").hidden = text === null;
  card.querySelector(".work-text").textContent = text ?? "";
  bar.hidden = share === WAITS;
  if (share === null || share === WAITS) bar.removeAttribute("value");
  else bar.value = share;
}

/** Remove a card; the focus, if it was there, goes to the content and not to nowhere. */
export function takeAway(card) {
  const hadFocus = card.contains(document.activeElement);
  card.remove();
  if (hadFocus) document.getElementById("content").focus({ preventScroll: true });
}

export function fillCard(card, analysis) {
  const { upload, result } = analysis;
  const facts = [upload.duration_s === null ? "picture" : duration(upload.duration_s), `${upload.width} × ${upload.height}`];
  card.querySelector(".meta").textContent = [...facts, size(upload.size_bytes), ago(analysis.created)].join(" · ");
  setWork(card, ...workOf(analysis));
  card.classList.toggle("is-failed", analysis.state === "failed");
  const warning = analysis.problem ?? result?.warning ?? "";
  card.querySelector(".warning").textContent = warning && warning[0].toUpperCase() + warning.slice(1);
  fillVerdict(card, result, upload.kind === "image" && result?.tracks === 1);
  const isDone = analysis.state === "done";
  card.querySelector(".open").hidden = card.querySelector(".menu").hidden = !isDone;
  if (isDone) fillLinks(card, analysis);
  const button = card.querySelector(".delete");
  button.textContent = ["queued", "running"].includes(analysis.state) ? "Cancel" : "Delete";
  button.setAttribute("aria-label", `${button.textContent} ${analysis.name}`);
}

function workOf({ state, position, progress }) {
  if (state === "queued") return [position ? `waits, ${position} before it` : "is next"];
  if (state !== "running") return [null];
  if (!progress) return ["begins", null];
  const rest = progress.rest_s === null ? "" : `, about ${duration(progress.rest_s)} left`;
  if (!progress.total) return [STAGES[progress.stage] ?? progress.stage, null];
  const what = progress.stage === "frames" ? `${progress.done} of ${progress.total} frames` : STAGES[progress.stage];
  return [`${what}, ${percent(progress.share)}${rest}`, progress.share];
}

function fillVerdict(card, result, isOne) {
  const verdict = card.querySelector(".verdict");
  verdict.replaceChildren();
  if (!result) return;
  if (!result.expression) {
    verdict.textContent = "No face was found.";
    return;
  }
  const chip = document.createElement("span");
  chip.className = "chip";
  chip.textContent = isOne ? result.expression : `mostly ${result.expression}`;
  const word = result.expression.toLowerCase();
  chip.style.background = `var(--expression-${word})`;
  chip.style.color = `var(--on-${word})`;
  const faces = result.tracks === 1 ? "1 face" : `${result.tracks} faces`;
  const text = [faces, `valence ${signed(result.valence)}`, `arousal ${signed(result.arousal)}`];
  verdict.append(chip, text.join(" · "));
}

function fillLinks(card, { links, name }) {
  const open = card.querySelector(".open");
  open.href = links.report;
  open.setAttribute("aria-label", `Open report of ${name}`);
  card.querySelector("summary").setAttribute("aria-label", `Download the table of ${name}`);
  for (const format of ["csv", "parquet", "jsonl"]) card.querySelector(`.${format}`).href = links[format];
}
