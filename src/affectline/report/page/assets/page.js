// Keeps video, charts, readings and boxes at one time.

const SVG = "http://www.w3.org/2000/svg";
const INTO_FRAME = 0.001; // seconds: a time rounded down would show the frame before
const NOWHERE = -1; // the cell of a time that was not analysed: no column has a value there
const video = $("video");
const picture = $("picture");

class Page {
  constructor() {
    document.body.classList.toggle("images", !data.hasTime);
    this.charts = new Charts();
    this.table = new ValueTable();
    this.time = startOf(0);
    this.wanted = null;
    this.bars = makeBars();
    this.listen();
    this.select(0);
  }

  select(number) {
    this.track = data.tracks[number];
    for (const part of document.querySelectorAll("[data-track]")) part.hidden = part.dataset.track !== String(number);
    this.charts.draw(this.track);
    this.table.show(this.track);
    this.showView();
    this.show(this.time);
  }

  /** Shows a time everywhere; the video is left alone. */
  show(time) {
    this.isCovered = isCovered(time);
    this.time = this.isCovered ? Math.min(last, Math.max(first, time)) : time;
    if (!data.hasTime) this.time = startOf(cellAt(this.time));
    const [from, to] = this.charts.view;
    if (this.isCovered && (this.time < from || this.time > to)) {
      this.charts.show(this.time - 0.1 * (to - from), this.time + 0.9 * (to - from));
      this.showView();
    }
    this.charts.moveTo(this.time);
    this.read(this.isCovered ? cellAt(this.time) : NOWHERE);
  }

  /** Goes to a time that was analysed, and the video with it. */
  seek(time) {
    this.show(Math.max(first, Math.min(time, last - 2 * INTO_FRAME)));
    if (!video) return;
    this.wanted = this.time;
    if (!video.seeking) video.currentTime = this.wanted + INTO_FRAME;
  }

  read(cell) {
    const columns = columnsOf(this.track);
    const word = data.words[columns.winner[cell]];
    const tag = $("now-word");
    tag.textContent = word ? word.word : this.isCovered ? "no face" : "not analysed";
    tag.style.background = word ? word.colour : "transparent";
    tag.style.color = word ? word.ink : "inherit";
    const status = data.statuses[columns.state[cell]] ?? "no_face";
    const said = { observed: "", no_face: "" }[status] ?? status.replace("_", " ");
    $("now-status").textContent = this.isCovered ? said : `analysed: ${clock(first)} – ${clock(last)}`;
    const told = this.isCovered ? "" : `This part was not analysed; what was goes from ${clock(first)} to ${clock(last)}.`;
    if ($("told").textContent !== told) $("told").textContent = told; // once: it is read aloud
    $("now-valence").textContent = signed(columns.valence[cell]);
    $("now-arousal").textContent = signed(columns.arousal[cell]);
    this.bars.forEach(([label, rect, text]) => {
      const value = columns[label.column][cell];
      rect.setAttribute("width", Number.isFinite(value) ? 100 * value : 0);
      text.textContent = Number.isFinite(value) ? `${Math.round(100 * value)} %` : "–";
    });
    $("now-units").textContent = strongest(columns, cell);
    const place = $("slider");
    place.value = cellAt(this.time);
    const name = nameOf(cell);
    $("clock").textContent = data.hasTime ? clock(this.time) : `${cell + 1} of ${cells}`;
    place.setAttribute("aria-valuetext", `${data.hasTime ? clock(this.time) : name || cell + 1}, ${tag.textContent}`);
    if (picture) showPicture(frames[cell], name);
    if ($("boxes")) this.outline(cell);
  }

  outline(cell) {
    const shown = data.hasBoxes && $("show-boxes").checked && !(picture && picture.hidden);
    const boxes = shown ? data.tracks.map((track) => boxOf(track, cell, track === this.track)) : [];
    $("boxes").replaceChildren(...boxes.filter(Boolean));
  }

  showView() {
    const [from, to] = this.charts.view;
    const isWhole = from === first && to === last;
    $("view").textContent = isWhole ? "" : `${clock(from)} – ${clock(to)}`;
    $("zoom-out").disabled = $("zoom-all").disabled = isWhole;
  }

  zoom(factor, time) {
    this.charts.zoom(factor, time);
    this.showView();
    this.charts.moveTo(this.time);
  }

  showWhole() {
    this.charts.show(first, last);
    this.showView();
    this.charts.moveTo(this.time);
  }

  listen() {
    for (const plot of document.querySelectorAll(".plot")) this.listenTo(plot);
    $("zoom-in").addEventListener("click", () => this.zoom(0.5, this.time));
    $("zoom-out").addEventListener("click", () => this.zoom(2, this.time));
    $("zoom-all").addEventListener("click", () => this.showWhole());
    const slider = $("slider");
    // It counts cells: where times are uneven, no step of time would reach each of them.
    Object.assign(slider, { min: 0, max: cells - 1, step: 1 });
    slider.addEventListener("input", () => this.seek(startOf(Number(slider.value))));
    for (const button of document.querySelectorAll(".moment")) {
      button.addEventListener("click", () => {
        this.seek(Number(button.dataset.at));
        if (innerWidth > 900) $("stage").scrollIntoView({ block: "nearest" });
      });
    }
    for (const choice of document.querySelectorAll("[name=track]")) {
      choice.addEventListener("change", () => this.select(Number(choice.value)));
    }
    if ($("show-boxes")) $("show-boxes").addEventListener("change", () => this.outline(cellAt(this.time)));
    if (video) this.follow();
    new ResizeObserver(() => this.charts.moveTo(this.time)).observe($("stage"));
  }

  /** Click and drag: sideways along time, freely in the plane. */
  listenTo(plot) {
    const go = (event) => {
      if (plot.id !== "plane") return this.seek(this.charts.timeAt(plot, event.clientX));
      const cell = this.charts.nearestInPlane(event.clientX, event.clientY);
      return cell === null ? undefined : this.seek(startOf(cell));
    };
    let dragging = false;
    plot.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      dragging = true;
      go(event);
    });
    addEventListener("pointermove", (event) => dragging && go(event));
    for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => { dragging = false; });
    plot.addEventListener("wheel", (event) => {
      if (plot.id === "plane" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.charts.timeAt(plot, event.clientX));
    }, { passive: false });
  }

  /** Follows the video while it plays, and leads it where a newer place is wanted. */
  follow() {
    const step = () => {
      if (video.paused || video.ended) return;
      this.show(video.currentTime);
      requestAnimationFrame(step);
    };
    video.addEventListener("play", () => { this.wanted = null; requestAnimationFrame(step); });
    video.addEventListener("pause", () => this.wanted === null && this.show(video.currentTime));
    video.addEventListener("seeked", () => {
      if (this.wanted !== null && Math.abs(this.wanted - video.currentTime) > 0.01) video.currentTime = this.wanted + INTO_FRAME;
      else if (this.wanted === null) this.show(video.currentTime);
      this.wanted = null;
    });
  }
}

function makeBars() {
  return data.labels.map((label) => {
    const [line, name, value] = ["li", "span", "span"].map((kind) => document.createElement(kind));
    const [svg, rect] = ["svg", "rect"].map((kind) => document.createElementNS(SVG, kind));
    svg.setAttribute("viewBox", "0 0 100 10");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    rect.setAttribute("height", "10");
    rect.setAttribute("fill", label.colour);
    svg.append(rect);
    name.textContent = label.word;
    line.append(name, svg, value);
    $("now-bars").append(line);
    return [label, rect, value];
  });
}

function strongest(columns, cell) {
  const known = data.units.filter((unit) => Number.isFinite(columns[unit.column][cell]));
  known.sort((one, other) => columns[other.column][cell] - columns[one.column][cell]);
  return known.slice(0, 3).map((unit) => `${unit.name} ${unit.meaning} ${columns[unit.column][cell].toFixed(2)}`).join(" · ");
}

function boxOf(track, cell, isSelected) {
  const columns = columnsOf(track);
  const [x1, y1, x2, y2] = ["box_x1", "box_y1", "box_x2", "box_y2"].map((name) => columns[name][cell]);
  if (!Number.isFinite(x1 + y1 + x2 + y2)) return null;
  const word = data.words[columns.winner[cell]];
  const rect = document.createElementNS(SVG, "rect");
  const shape = { x: x1, y: y1, width: x2 - x1, height: y2 - y1, fill: "none", rx: (x2 - x1) * 0.04, "vector-effect": "non-scaling-stroke" };
  shape.stroke = word ? word.colour : "#ffffff";
  shape["stroke-width"] = isSelected ? 3 : 1.5;
  if (data.statuses[columns.state[cell]] === "interpolated") shape["stroke-dasharray"] = "6 5";
  for (const [name, value] of Object.entries(shape)) rect.setAttribute(name, value);
  return rect;
}

function nameOf(cell) {
  return (data.sources && data.sources[frames[cell]]) || "";
}

function showPicture(frame, name) {
  const shown = data.pictures[frame];
  picture.hidden = !shown;
  $("missing").hidden = Boolean(shown);
  if (!shown) return;
  if (picture.getAttribute("src") !== shown.src) picture.src = shown.src;
  picture.alt = name ? `The image ${name}` : "The analysed image";
  $("boxes").setAttribute("viewBox", `0 0 ${shown.size[0]} ${shown.size[1]}`);
}

/** Without a face there are no charts: the slider then goes through the pictures alone. */
function leafThrough() {
  const slider = $("slider");
  const turn = () => {
    const place = Number(slider.value);
    showPicture(frames[place], nameOf(place));
    $("clock").textContent = `${place + 1} of ${cells}`;
    slider.setAttribute("aria-valuetext", nameOf(place) || String(place + 1));
  };
  Object.assign(slider, { min: 0, max: cells - 1, step: 1, value: 0 });
  slider.addEventListener("input", turn);
  turn();
}

function loadVideo() {
  // A file that is not there is missed before this script runs, so looking now is needed beside listening.
  const tell = () => { $("unplayable").hidden = !video.error; };
  video.addEventListener("error", tell);
  tell();
  const embedded = $("video-data");
  if (embedded) {
    const bytes = Uint8Array.from(atob(embedded.textContent), (letter) => letter.charCodeAt(0));
    video.src = URL.createObjectURL(new Blob([bytes], { type: "video/mp4" }));
    embedded.remove();
  }
  $("boxes").setAttribute("viewBox", `0 0 ${data.size[0]} ${data.size[1]}`);
  video.width = data.size[0];
  video.height = data.size[1];
}

/** Goes to the first picture that was analysed, which need not be the video's first. */
function beginVideo() {
  const begin = () => {
    if (page) page.seek(page.time);
    else video.currentTime = first + INTO_FRAME;
  };
  if (video.readyState >= HTMLMediaElement.HAVE_METADATA) begin();
  else video.addEventListener("loadedmetadata", begin, { once: true });
}

function nameTheme() {
  $("theme").querySelector("span").textContent = theme() === "dark" ? "Light" : "Dark";
}

if (video) loadVideo();
const page = data.tracks.length ? new Page() : null;
if (video) beginVideo();
if (picture && !page) leafThrough();
nameTheme();
$("theme").setAttribute("aria-label", "Change between light and dark");
$("theme").addEventListener("click", () => {
  document.documentElement.dataset.theme = theme() === "dark" ? "light" : "dark";
  nameTheme();
  if (page) page.charts.draw(page.track);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  nameTheme();
  if (page) page.charts.draw(page.track);
});
$("download").addEventListener("click", download);
document.documentElement.dataset.ready = "true";
