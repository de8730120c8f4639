// Live mode: a frame of the camera is sent, and the next one only when its answer has come.
import { RollingChart } from "./chart.js";
import { Followed } from "./followed.js";
import { clearFaces, drawFaces } from "./overlay.js";
import { announce, percent, sentence, signed } from "./words.js";

const LONG_SIDE = 640;
const QUALITY = 0.8;
const REMEMBERED = 120;
const TELL_MS = 400;
const SILENT_MS = 5000; // faces of so long ago are no faces of now
const GONE_MS = 21000; // the service gives the analysis of a frame 20 s, and then says so itself
const LATE_MS = 150; // boxes that are later than this would not lie on the face: the picture they belong to is shown

const element = (id) => document.getElementById(id);
const picture = document.createElement("canvas");
let chart = null;
let session = null;

export function startLive() {
  chart = new RollingChart(element("rolling"));
  element("start").addEventListener("click", () => (session ? stopCamera() : start()));
  element("next-face").addEventListener("click", () => {
    session?.followed.next(session.faces);
    chart.clear();
  });
  element("units").addEventListener("change", () => {
    if (!session) return;
    stopCamera();
    start();
  });
}

export function stopCamera(reason = "The camera is off.") {
  if (!session) return;
  const { socket, stream, timer } = session;
  session = null;
  clearTimeout(timer);
  socket?.close();
  for (const track of stream?.getTracks() ?? []) track.stop();
  element("camera").srcObject = null;
  clearFigures();
  element("start").textContent = "Start the camera";
  element("stage").classList.remove("is-on");
  say(reason);
}

/** Take away all that is said of now. */
function clearFigures() {
  clearFaces(element("overlay"));
  element("next-face").hidden = true;
  for (const figure of ["rate", "delay", "delay-95", "faces", "valence", "arousal"]) element(figure).textContent = "–";
  for (const bars of ["expressions", "unit-bars"]) element(bars).replaceChildren();
  element("rolling").setAttribute("aria-label", "Valence and arousal of the last 20 seconds");
}

function say(text) {
  if (element("stage-text").textContent === text) return;
  element("stage-text").textContent = text;
  if (text) announce(text);
}

async function start() {
  const own = (session = { socket: null, stream: null, timer: null, problem: "", answers: [], faces: [], followed: new Followed(), sentMs: 0, toldMs: 0 });
  element("start").textContent = "Stop the camera";
  element("panel-units").hidden = !element("units").checked;
  chart.clear();
  say("Your browser asks whether the camera may be used.");
  try {
    if (!navigator.mediaDevices) throw new Error("Browsers give the camera only to pages on this machine or over https.");
    own.stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480, facingMode: "user" }, audio: false });
  } catch (error) {
    if (session === own) stopCamera(error.name === "NotAllowedError" ? "The camera was not allowed." : `There is no camera: ${error.message}`);
    return;
  }
  if (session !== own) return own.stream.getTracks().forEach((track) => track.stop());
  element("camera").srcObject = own.stream;
  await element("camera").play();
  element("stage").classList.add("is-on");
  say("The networks are loaded …");
  connect(own);
  return undefined;
}

function connect(own) {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/v1/live?action_units=${element("units").checked}`, "affectline.v1");
  own.socket = socket;
  socket.onmessage = (event) => session === own && take(own, JSON.parse(event.data));
  socket.onclose = (event) => {
    if (session !== own) return;
    stopCamera(own.problem || (event.reason ? `The service has ended this: ${event.reason}.` : "The connection to the service is gone."));
  };
}

function take(own, message) {
  const nowMs = performance.now();
  clearTimeout(own.timer);
  own.problem = message.type === "problem" ? sentence(message.detail) : ""; // also what is said if the connection is closed next
  say(own.problem);
  if (message.type !== "ready") own.answers.push({ nowMs, delayMs: nowMs - own.sentMs });
  if (message.type === "faces") show(own, message, nowMs);
  nextFrame(own);
}

/** Send the camera's next new picture; what it shows meanwhile is dropped. */
function nextFrame(own) {
  const camera = element("camera");
  const send = () => session === own && sendFrame(own, camera);
  if (camera.requestVideoFrameCallback) camera.requestVideoFrameCallback(send);
  else requestAnimationFrame(send);
}

function sendFrame(own, camera) {
  const scale = Math.min(1, LONG_SIDE / Math.max(camera.videoWidth, camera.videoHeight));
  picture.width = Math.round(camera.videoWidth * scale);
  picture.height = Math.round(camera.videoHeight * scale);
  own.sentMs = performance.now();
  watch(own);
  picture.getContext("2d").drawImage(camera, 0, 0, picture.width, picture.height);
  picture.toBlob((blob) => {
    if (session === own && blob && own.socket.readyState === WebSocket.OPEN) own.socket.send(blob);
  }, "image/jpeg", QUALITY);
}

/** Notice that no answer comes to the frame that is sent. */
function watch(own) {
  clearTimeout(own.timer);
  own.timer = setTimeout(() => {
    own.faces = [];
    clearFigures();
    say("The service does not answer.");
    own.timer = setTimeout(() => stopCamera("The service does not answer. The camera is off."), GONE_MS - SILENT_MS);
  }, SILENT_MS);
}

function show(own, message, nowMs) {
  const isLate = own.answers.at(-1).delayMs > LATE_MS;
  own.faces = message.faces;
  const face = own.followed.among(message.faces, nowMs);
  drawFaces(element("overlay"), message, isLate ? picture : null, face);
  element("next-face").hidden = message.faces.length < 2;
  chart.add(message.time_s, face?.valence ?? null, face?.arousal ?? null);
  element("stage").dataset.answers = own.answers.length;
  if (own.answers.length > REMEMBERED) own.answers.shift();
  if (nowMs - own.toldMs < TELL_MS && own.toldMs) return;
  own.toldMs = nowMs;
  showFigures(own, message);
  showBars(element("expressions"), Object.entries(face?.probabilities ?? {}), true);
  if (element("units").checked) showBars(element("unit-bars"), Object.entries(face?.action_units ?? {}), false);
  element("valence").textContent = signed(face?.valence);
  element("arousal").textContent = signed(face?.arousal);
  const summary = face ? `valence ${signed(face.valence)}, arousal ${signed(face.arousal)}, ${face.expression}` : "no face";
  element("rolling").setAttribute("aria-label", `Valence and arousal of the last 20 seconds; now ${summary}`);
}

function showFigures(own, message) {
  const recent = own.answers.filter(({ nowMs }) => nowMs >= own.answers.at(-1).nowMs - 3000);
  const spanS = (recent.at(-1).nowMs - recent[0].nowMs) / 1000;
  const delays = own.answers.map(({ delayMs }) => delayMs).toSorted((one, other) => one - other);
  const quantile = (share) => Math.round(delays[Math.min(delays.length - 1, Math.floor(share * delays.length))]);
  element("rate").textContent = spanS > 0 ? ((recent.length - 1) / spanS).toFixed(1) : "–";
  element("delay").textContent = quantile(0.5);
  element("delay-95").textContent = quantile(0.95);
  element("faces").textContent = message.faces.length;
}

function showBars(list, values, isExpression) {
  if (list.children.length !== values.length) {
    list.replaceChildren(...values.map(([name]) => newBar(name, isExpression)));
  }
  values.forEach(([, value], number) => {
    const bar = list.children[number];
    bar.querySelector(".fill").style.width = `${100 * value}%`;
    bar.querySelector(".value").textContent = isExpression ? percent(value) : value.toFixed(2);
  });
}

function newBar(name, isExpression) {
  const item = document.createElement("li");
  for (const part of ["label", "track", "value"]) {
    const span = document.createElement("span");
    span.className = part;
    item.append(span);
  }
  item.querySelector(".label").textContent = name;
  const fill = document.createElement("span");
  fill.className = "fill";
  fill.style.background = isExpression ? `var(--expression-${name.toLowerCase()})` : "var(--accent)";
  item.querySelector(".track").append(fill);
  return item;
}
