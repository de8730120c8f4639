// Which view is shown.
import { startAnalyses } from "./analyses.js";
import { startLive, stopCamera } from "./live.js";
import { startUploads } from "./uploads.js";

const VIEWS = ["videos", "live"];

function show() {
  const wanted = location.hash.slice(1);
  const view = VIEWS.includes(wanted) ? wanted : VIEWS[0];
  for (const name of VIEWS) document.getElementById(`view-${name}`).hidden = name !== view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = view === "live" ? "Live · affectline" : "affectline";
  if (view !== "live") stopCamera();
}

addEventListener("hashchange", () => {
  if (!["", "#videos", "#live"].includes(location.hash)) return;
  show();
  document.getElementById("content").focus({ preventScroll: true });
});
show();
const refresh = startAnalyses();
startUploads(refresh);
startLive();
