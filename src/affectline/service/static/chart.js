// The rolling chart of valence and arousal.

const WINDOW_S = 20;
const FONT = "12px system-ui, sans-serif";

function tone(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

export class RollingChart {
  constructor(canvas) {
    this.canvas = canvas;
    this.points = [];
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(canvas);
  }

  clear() {
    this.points = [];
    this.draw();
  }

  /** Add what is known at a time, in seconds; null leaves a gap. */
  add(timeS, valence, arousal) {
    this.points.push({ timeS, valence, arousal });
    const first = this.points.findIndex((point) => point.timeS >= timeS - WINDOW_S - 1);
    if (first > 0) this.points.splice(0, first);
    this.draw();
  }

  draw() {
    const { canvas } = this;
    const ratio = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width || !height) return;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const area = { left: 34, right: width - 6, top: 8, bottom: height - 22 };
    this.drawAxes(pen, area);
    const now = this.points.at(-1)?.timeS ?? 0;
    const x = (timeS) => area.right - ((now - timeS) / WINDOW_S) * (area.right - area.left);
    const y = (value) => area.top + ((1 - value) / 2) * (area.bottom - area.top);
    pen.save();
    pen.beginPath();
    pen.rect(area.left, 0, area.right - area.left + 6, height);
    pen.clip();
    for (const name of ["arousal", "valence"]) this.drawCurve(pen, name, x, y);
    pen.restore();
  }

  drawAxes(pen, area) {
    pen.font = FONT;
    pen.fillStyle = tone("muted");
    pen.lineWidth = 1;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const value of [1, 0.5, 0, -0.5, -1]) {
      const y = Math.round(area.top + ((1 - value) / 2) * (area.bottom - area.top)) + 0.5;
      pen.strokeStyle = tone(value === 0 ? "muted" : "grid");
      pen.beginPath();
      pen.moveTo(area.left, y);
      pen.lineTo(area.right, y);
      pen.stroke();
      if (value === Math.round(value)) pen.fillText(value < 0 ? `−${-value}` : `${value}`, area.left - 8, y);
    }
    pen.textBaseline = "top";
    for (const seconds of [0, 5, 10, 15, 20]) {
      pen.textAlign = seconds === 0 ? "right" : seconds === WINDOW_S ? "left" : "center";
      const x = area.right - (seconds / WINDOW_S) * (area.right - area.left);
      pen.fillText(seconds ? `−${seconds} s` : "now", x, area.bottom + 8);
    }
  }

  drawCurve(pen, name, x, y) {
    pen.strokeStyle = tone(name);
    pen.lineWidth = name === "valence" ? 2.5 : 2;
    pen.lineJoin = "round";
    pen.beginPath();
    let isOn = false;
    let last = null;
    for (const point of this.points) {
      const value = point[name];
      if (value === null || value === undefined) {
        isOn = false;
        continue;
      }
      if (isOn) pen.lineTo(x(point.timeS), y(value));
      else pen.moveTo(x(point.timeS), y(value));
      isOn = true;
      last = point;
    }
    pen.stroke();
    if (!last || last !== this.points.at(-1)) return;
    pen.fillStyle = tone(name);
    pen.beginPath();
    pen.arc(x(last.timeS), y(last[name]), 4, 0, 7);
    pen.fill();
  }
}
