// Boxes and labels over the camera's picture.
import { percent } from "./words.js";

const FONT = "600 14px system-ui, sans-serif";

function tone(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Draw faces, over `under` if it is given; boxes are in pixels of a frame of `width` x `height`; all is mirrored.
 * The `followed` one has the strongest line; that of poor ones is dashed. */
export function drawFaces(canvas, { faces, width, height }, under, followed) {
  const ratio = devicePixelRatio || 1;
  const [wide, high] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.round(wide * ratio);
  canvas.height = Math.round(high * ratio);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  if (under) {
    pen.save();
    pen.scale(-1, 1);
    pen.drawImage(under, -wide, 0, wide, high);
    pen.restore();
  }
  for (const face of faces) drawFace(pen, face, wide / width, high / height, wide, face === followed);
}

export function clearFaces(canvas) {
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
}

function drawFace(pen, face, scaleX, scaleY, wide, isFollowed) {
  // What is said of a small, dark or turned face is worth little: its box has no word for its expression.
  const isPoor = face.status === "low_quality";
  const word = isPoor ? "uncertain" : (face.expression ?? "uncertain").toLowerCase();
  const [x1, y1, x2, y2] = face.box;
  const [left, top] = [wide - x2 * scaleX, y1 * scaleY];
  const [width, height] = [(x2 - x1) * scaleX, (y2 - y1) * scaleY];
  for (const [colour, line] of [["#141414", 5], [tone(`expression-${word}`), 3]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = isFollowed ? line : line / 2;
    pen.setLineDash(isPoor ? [6, 5] : []);
    pen.beginPath();
    pen.roundRect(left, top, width, height, 10);
    pen.stroke();
  }
  pen.setLineDash([]);
  const share = face.probabilities[face.expression];
  const said = share === undefined ? (face.expression ?? "face") : `${face.expression} ${percent(share)}`;
  const label = isPoor ? "low quality" : said;
  pen.font = FONT;
  const labelWidth = pen.measureText(label).width + 18;
  const labelTop = Math.max(4, top - 32);
  const labelLeft = Math.min(Math.max(4, left), wide - labelWidth - 4);
  pen.fillStyle = tone(`expression-${word}`);
  pen.beginPath();
  pen.roundRect(labelLeft, labelTop, labelWidth, 26, 8);
  pen.fill();
  pen.fillStyle = tone(`on-${word}`);
  pen.textBaseline = "middle";
  pen.fillText(label, labelLeft + 9, labelTop + 14);
}
