// Draws the charts of a track and moves their cursors. No figure is made here: traces and layouts come from the data.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const OVER_TIME = ["affect", "expressions", "units"];
const ARRAYS = { f4: Float32Array, f8: Float64Array };

function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed.bdata), (letter) => letter.charCodeAt(0));
  return new ARRAYS[packed.dtype](bytes.buffer);
}

const edges = unpack(data.edges);
const frames = unpack(data.frames);
const cells = edges.length - 1;
const first = edges[0];
const last = edges[cells];
const widest = edges.reduce((most, edge, place) => Math.max(most, place ? edge - edges[place - 1] : 0), 0);

/** Columns of a track as typed arrays, unpacked when the track is first shown. */
function columnsOf(track) {
  if (!track.arrays) {
    track.arrays = {};
    for (const [name, packed] of Object.entries(track.columns)) track.arrays[name] = unpack(packed);
  }
  return track.arrays;
}

function theme() {
  const chosen = document.documentElement.dataset.theme;
  const isDark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  return isDark ? "dark" : "light";
}

/** Puts columns ($name, or =name with each value twice) and tones (@name) into a part of a figure. */
function resolved(value, columns, tones) {
  if (typeof value === "string") {
    if (value[0] === "$") return columns[value.slice(1)];
    if (value[0] === "=") return twice(columns[value.slice(1)]);
    if (value[0] === "@") return tones[value.slice(1)];
    return value;
  }
  if (Array.isArray(value)) return value.map((part) => resolved(part, columns, tones));
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, resolved(part, columns, tones)]));
  }
  return value;
}

function twice(values) {
  const both = new values.constructor(2 * values.length);
  values.forEach((value, place) => both.fill(value, 2 * place, 2 * place + 2));
  return both;
}

/** The cell that holds a time in seconds, or the cell of an image's index. */
function cellAt(time) {
  let low = 0;
  let high = cells - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (edges[middle] <= time + 1e-6) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Whether the picture at a time was looked at; without a first or last time the video's own beginning or end counts. */
function isCovered(time) {
  const [from, to] = data.covers;
  return (from === null || time >= from - 1e-6) && (to === null || time < to);
}

function startOf(cell) {
  return data.hasTime ? edges[cell] : (edges[cell] + edges[cell + 1]) / 2;
}

function onAxis(time) {
  return data.origin + time * data.scale;
}

function clock(time, digits = 1) {
  if (!data.hasTime) return String(Math.round(time));
  const tenths = Math.max(0, Math.round(time * 10 ** digits)) / 10 ** digits;
  const hours = Math.floor(tenths / 3600);
  const minutes = Math.floor(tenths / 60) % 60;
  const seconds = (tenths % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${seconds}` : `${minutes}:${seconds}`;
}

function signed(value) {
  if (!Number.isFinite(value)) return "–";
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
}

/** The charts of the selected track. */
class Charts {
  constructor() {
    this.view = [first, last];
    this.margins = {};
  }

  draw(track) {
    this.track = track;
    const columns = columnsOf(track);
    const tones = data.themes[theme()];
    for (const chart of track.charts) {
      const div = $(chart.name).querySelector(".gd");
      const layout = resolved(chart.layout, columns, tones);
      this.margins[chart.name] = layout.margin;
      if (chart.name !== "plane") {
        layout.xaxis.range = this.view.map(onAxis);
        layout.hoverdistance = this.reach(chart.name);
        layout.xaxis.nticks = Math.min(layout.xaxis.nticks, Math.floor(this.widthOf(chart.name) / 66));
      }
      Plotly.react(div, resolved(chart.traces, columns, tones), layout, { displayModeBar: false, responsive: true });
      $(chart.name).setAttribute("aria-label", describe(chart.name, track));
    }
  }

  /** Shows a part of the time on all charts; returns whether that is a change. */
  show(from, to) {
    const least = Math.min(last - first, (8 * (last - first)) / cells);
    const span = Math.min(last - first, Math.max(least, to - from));
    const start = Math.min(Math.max(first, from), last - span);
    if (start === this.view[0] && start + span === this.view[1]) return;
    this.view = [start, start + span];
    for (const chart of this.track.charts) {
      if (chart.name === "plane") continue;
      const change = { "xaxis.range": this.view.map(onAxis), hoverdistance: this.reach(chart.name) };
      Plotly.relayout($(chart.name).querySelector(".gd"), change);
    }
  }

  /** From how many pixels the pointer finds a value: from anywhere in the widest cell, but not from far into a gap. */
  reach(name) {
    const scale = this.widthOf(name) / (this.view[1] - this.view[0]);
    return Math.max(20, Math.ceil((widest / 2) * scale));
  }

  /** The width of what a chart shows, in pixels. */
  widthOf(name) {
    const { l, r } = this.margins[name];
    return $(name).clientWidth - l - r;
  }

  zoom(factor, time) {
    const middle = time >= this.view[0] && time <= this.view[1] ? time : (this.view[0] + this.view[1]) / 2;
    this.show(middle - (middle - this.view[0]) * factor, middle + (this.view[1] - middle) * factor);
  }

  /** Puts the cursors at a time without drawing any chart anew. */
  moveTo(time) {
    const share = (time - this.view[0]) / (this.view[1] - this.view[0]);
    for (const name of OVER_TIME) {
      const plot = $(name);
      if (!plot) continue;
      const { l } = this.margins[name];
      const cursor = plot.querySelector(".cursor");
      const width = this.widthOf(name);
      cursor.hidden = !isCovered(time) || share < -0.001 || share > 1.001;
      cursor.style.left = `${l + share * width}px`;
      // An image is a column of its own, and the cursor a frame around it.
      if (!data.hasTime) cursor.style.width = `${Math.max(4, (width * (last - first)) / cells / (this.view[1] - this.view[0]))}px`;
    }
    const columns = columnsOf(this.track);
    const cell = cellAt(time);
    const dot = $("plane").querySelector(".dot-cursor");
    const [x, y] = this.inPlane(columns.valence[cell], columns.arousal[cell]);
    dot.hidden = !isCovered(time) || !Number.isFinite(x + y);
    if (!dot.hidden) {
      dot.style.left = `${x}px`;
      dot.style.top = `${y}px`;
    }
  }

  /** Where valence and arousal lie, in pixels of the plane's box. The axes keep one scale, so the shorter side counts. */
  inPlane(valence, arousal) {
    const plot = $("plane");
    const { l, r, t, b } = this.margins.plane;
    const width = plot.clientWidth - l - r;
    const height = plot.clientHeight - t - b;
    const unit = Math.min(width, height) / 2.1;
    return [l + width / 2 + valence * unit, t + height / 2 - arousal * unit];
  }

  timeAt(plot, clientX) {
    const { l, r } = this.margins[plot.id];
    const box = plot.getBoundingClientRect();
    const share = (clientX - box.left - l) / (box.width - l - r);
    const time = this.view[0] + share * (this.view[1] - this.view[0]);
    return Math.min(last, Math.max(first, time));
  }

  /** The cell whose valence and arousal are nearest to a place in the plane; null if none has values. */
  nearestInPlane(clientX, clientY) {
    const box = $("plane").getBoundingClientRect();
    const columns = columnsOf(this.track);
    let best = null;
    let least = Infinity;
    for (let cell = 0; cell < cells; cell += 1) {
      const [x, y] = this.inPlane(columns.valence[cell], columns.arousal[cell]);
      const distance = (x + box.left - clientX) ** 2 + (y + box.top - clientY) ** 2;
      if (distance < least) [best, least] = [cell, distance];
    }
    return best;
  }

  resize() {
    for (const chart of this.track.charts) Plotly.Plots.resize($(chart.name).querySelector(".gd"));
  }
}

function describe(name, track) {
  const columns = columnsOf(track);
  const known = (column) => Array.from(columns[column]).filter(Number.isFinite);
  const range = (column) => {
    if (track.means[column] === null) return `${column} has no value`;
    const [low, high] = data.isBinned ? [`${column}_low`, `${column}_high`] : [column, column];
    const [least, most] = [Math.min(...known(low)), Math.max(...known(high))];
    return `${column} from ${signed(least)} to ${signed(most)}, mean ${signed(track.means[column])}`;
  };
  const over = data.hasTime ? "over time" : "by image";
  if (name === "affect") return `Chart of ${track.name} ${over}: ${range("valence")}; ${range("arousal")}.`;
  if (name === "expressions") return `Stacked areas of ${track.name}: the probability of each expression ${over}.`;
  if (name === "units") return `Heat map of ${track.name}: the activation of ${data.units.length} action units ${over}.`;
  return `Path of ${track.name} through the plane of valence, from left to right, and arousal, from bottom to top.`;
}
