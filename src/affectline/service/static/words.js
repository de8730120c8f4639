// Numbers in words, and what a screen reader is told.

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

export function announce(text) {
  document.getElementById("announce").textContent = text;
}
