// The list of analyses: asked for again and again while something is going on.
import { ask } from "./api.js";
import { fillCard, makeCard, takeAway } from "./card.js";
import { announce, tellTrouble } from "./words.js";

const BUSY_MS = 700;
const IDLE_MS = 15000;
const AGAIN_MS = 3000; // after a failure
const TOLD_MS = 8000;
const PAGE = 50;
const MOST_AT_ONCE = 200;

const cards = new Map();
const states = new Map();
let limit = PAGE;
let timer = null;

/** Begin, and return what asks at once. */
export function startAnalyses() {
  document.getElementById("more").addEventListener("click", () => {
    limit += PAGE;
    refresh();
  });
  addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });
  addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && document.activeElement.closest("details.menu[open]");
    if (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
  refresh();
  return refresh;
}

async function refresh() {
  clearTimeout(timer);
  let pauseMs = AGAIN_MS;
  try {
    const analyses = await newest(limit);
    pauseMs = analyses.some(({ state }) => state === "queued" || state === "running") ? BUSY_MS : IDLE_MS;
    draw(analyses);
    tellTrouble("");
  } catch (problem) {
    tellTrouble(problem.message);
  }
  timer = setTimeout(refresh, pauseMs);
}

/** The newest analyses; the service gives so many at a time. */
async function newest(wanted) {
  const found = [];
  while (found.length < wanted) {
    const size = Math.min(wanted - found.length, MOST_AT_ONCE);
    const { analyses } = await ask(`/v1/analyses?limit=${size}&offset=${found.length}`);
    found.push(...analyses);
    if (analyses.length < size) break;
  }
  return found;
}

function draw(analyses) {
  const list = document.getElementById("list");
  const known = new Set(analyses.map(({ id }) => id));
  for (const [id, card] of cards) {
    if (!known.has(id)) {
      takeAway(card);
      cards.delete(id);
      states.delete(id);
    }
  }
  let after = [...list.children].filter((item) => !item.dataset.id).at(-1) ?? null; // uploads stay on top
  for (const analysis of analyses) {
    if (!cards.has(analysis.id)) cards.set(analysis.id, newCard(analysis));
    const card = cards.get(analysis.id);
    const place = after ? after.nextElementSibling : list.firstElementChild;
    if (place !== card) list.insertBefore(card, place);
    fillCard(card, analysis);
    tell(analysis);
    after = card;
  }
  document.getElementById("counts").textContent = counted(analyses);
  document.getElementById("nothing").hidden = list.children.length > 0;
  document.getElementById("more").hidden = analyses.length < limit;
}

/** How many are at work and how many wait, where more than one is there to be looked for in the list. */
function counted(analyses) {
  const count = (wanted) => analyses.filter(({ state }) => state === wanted).length;
  const [running, queued] = [count("running"), count("queued")];
  return running + queued > 1 ? [running && `${running} at work`, queued && `${queued} waiting`].filter(Boolean).join(", ") : "";
}

function newCard(analysis) {
  const card = makeCard(analysis.name);
  card.dataset.id = analysis.id;
  card.querySelector(".delete").addEventListener("click", () => confirmDelete(analysis));
  return card;
}

function tell({ id, name, state, problem, progress }) {
  const quarter = Math.floor(4 * (progress?.share ?? 0));
  const now = state === "running" ? `running ${quarter}` : state;
  const before = states.get(id);
  states.set(id, now);
  if (before === undefined || before === now) return;
  if (state === "done") announce(`${name} is done`);
  else if (state === "failed") announce(`${name} failed: ${problem}`);
  else if (state === "running" && quarter) announce(`${name}: ${25 * quarter} percent`);
}

function confirmDelete(analysis) {
  const dialog = document.getElementById("confirm");
  document.getElementById("confirm-text").textContent = `${analysis.name}: the table and the report are removed from this machine and cannot be brought back.`;
  dialog.returnValue = "keep";
  dialog.onclose = async () => {
    if (dialog.returnValue !== "delete") return;
    try {
      await ask(`/v1/analyses/${analysis.id}`, { method: "DELETE" });
      announce(`${analysis.name} is deleted`);
    } catch (problem) {
      tellTrouble(`${analysis.name} was not deleted. ${problem.message}`, TOLD_MS);
    }
    document.getElementById("content").focus({ preventScroll: true });
    refresh();
  };
  dialog.showModal();
}
