// The values as a table, a page at a time, and their download.

const PAGE_ROWS = 25;

function nearestRows() {
  // A row for each second, or for each cell where there are fewer.
  if (!data.hasTime || (last - first) / cells >= 1 || last - first < 4) return Array.from({ length: cells }, (_, n) => n);
  const rows = [];
  for (let second = Math.ceil(first); second < last; second += 1) rows.push(cellAt(second));
  return rows;
}

function tableColumns(track) {
  const columns = columnsOf(track);
  const number = (column, digits = 2) => (cell) => (Number.isFinite(columns[column][cell]) ? columns[column][cell].toFixed(digits) : "");
  const status = (cell) => data.statuses[columns.state[cell]].replace("_", " ");
  const word = (cell) => (columns.winner[cell] < 0 ? "" : data.words[columns.winner[cell]].word);
  const when = (cell) => (data.hasTime ? clock(edges[cell], 2) : (data.sources && data.sources[frames[cell]]) || String(frames[cell]));
  return [
    [data.hasTime ? "Time" : "Image", when],
    ["Status", status],
    ["Expression", word],
    ["Valence", number("valence")],
    ["Arousal", number("arousal")],
    ...data.labels.map((label) => [`P ${label.word}`, number(label.column)]),
    ...data.units.map((unit) => [unit.name, number(unit.column)]),
  ];
}

class ValueTable {
  constructor() {
    this.rows = nearestRows();
    this.page = 0;
    $("page-back").addEventListener("click", () => this.turn(-1));
    $("page-on").addEventListener("click", () => this.turn(1));
    $("details").addEventListener("toggle", () => this.draw());
  }

  show(track) {
    this.track = track;
    this.draw();
  }

  turn(step) {
    this.page += step;
    this.draw();
  }

  draw() {
    if (!$("details").open || !this.track) return;
    const pages = Math.ceil(this.rows.length / PAGE_ROWS);
    const columns = tableColumns(this.track);
    const head = document.createElement("tr");
    for (const [name] of columns) head.append(cellOf("th", name, "col"));
    const shown = this.rows.slice(this.page * PAGE_ROWS, (this.page + 1) * PAGE_ROWS).map((cell) => {
      const line = document.createElement("tr");
      columns.forEach(([, text], place) => line.append(cellOf(place ? "td" : "th", text(cell), place ? "" : "row")));
      return line;
    });
    const table = $("details").querySelector("table");
    table.tHead.replaceChildren(head);
    table.tBodies[0].replaceChildren(...shown);
    const each = this.rows.length < cells ? ", one row a second" : "";
    $("caption").textContent = `${this.track.name}${each}`;
    $("page-now").textContent = `Page ${this.page + 1} of ${pages}`;
    $("page-back").disabled = this.page === 0;
    $("page-on").disabled = this.page >= pages - 1;
  }
}

function cellOf(kind, text, scope) {
  const cell = document.createElement(kind);
  cell.textContent = text;
  if (scope) cell.scope = scope;
  return cell;
}

async function tableFile() {
  const whole = $("table-data");
  if (whole && "DecompressionStream" in window) {
    const bytes = Uint8Array.from(atob(whole.textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).blob();
  }
  return new Blob([chartValues()], { type: "text/csv" });
}

/** What the charts show, as CSV: a line for each track and cell that has values. */
function chartValues() {
  const names = ["valence", "arousal", ...data.labels.map((label) => label.column), ...data.units.map((unit) => unit.column)];
  const lines = [["frame", data.hasTime ? "time_s" : "image", "track_id", "status", ...names].join(",")];
  for (const track of data.tracks) {
    const columns = columnsOf(track);
    for (let cell = 0; cell < cells; cell += 1) {
      if (!columns.state[cell]) continue;
      const values = names.map((name) => (Number.isFinite(columns[name][cell]) ? columns[name][cell].toFixed(4) : ""));
      lines.push([frames[cell], data.hasTime ? edges[cell].toFixed(3) : frames[cell], track.id, data.statuses[columns.state[cell]], ...values].join(","));
    }
  }
  return `${lines.join("\n")}\n`;
}

async function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await tableFile());
  link.download = data.fileName;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
