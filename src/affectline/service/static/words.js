// Numbers in words, and what people are told.

export function size(bytes) {
  const megabytes = bytes / 1e6;
  return megabytes >= 1 ? `${Number(megabytes.toFixed(megabytes < 10 ? 1 : 0))} MB` : `${Math.max(1, Math.round(bytes / 1e3))} kB`;
}

export function duration(exact) {
  const seconds = Math.round(exact);
  if (seconds < 60) return `${Math.max(1, seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  const rest = seconds % 60;
  if (minutes < 60) return rest ? `${minutes} min ${rest} s` : `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function ago(iso) {
  const seconds = (Date.now() - Date.parse(iso)) / 1000;
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return new Date(iso).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

export function signed(value) {
  return value === null || value === undefined ? "–" : `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
}

export function percent(share) {
  return `${Math.round(100 * share)} %`;
}

/** Return what the service says, which may be a part of a sentence, as a sentence. */
export function sentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?…]$/.test(text) ? "" : "."}`;
}

export function announce(text) {
  document.getElementById("announce").textContent = text;
}

let heldUntilMs = 0;

/** Show above the list what is wrong, and tell a screen reader once, however often it is found; "" where all is well.
 * Nothing takes its place for `heldMs`, so that what became of a click can be read. */
export function tellTrouble(text, heldMs = 0) {
  const line = document.getElementById("trouble");
  const nowMs = performance.now();
  if (!heldMs && (nowMs < heldUntilMs || line.textContent === text)) return;
  heldUntilMs = nowMs + heldMs;
  line.textContent = text;
  line.hidden = !text;
  if (text) announce(text);
}
