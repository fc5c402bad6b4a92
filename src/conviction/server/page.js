// The page at /: sends one picture, shows what the server says of it. It keeps nothing but the key, in this tab.
"use strict";

const at = (id) => document.getElementById(id);
const KEY = "conviction-key";
let current = null; // the file that is shown
let turn = 0; // answers to earlier pictures are dropped
let stream = null;
let rule = null; // how the model's pictures are decoded

class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = key ? { "X-API-Key": encodeURI(key) === key ? key : "?" } : {};
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Refused(0, "The server cannot be reached.");
  }
  const said = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, said.detail || `The server answered ${response.status}.`);
  return said;
}

function show(problem) {
  at("problem").textContent = problem ? problem.message : "";
  if (problem && problem.status === 401) {
    at("unlock").hidden = false;
    at("try").hidden = at("about").hidden = at("result").hidden = true;
    at("problem").textContent = sessionStorage.getItem(KEY) ? "The server does not accept this key." : "";
    sessionStorage.removeItem(KEY);
    at("key").focus();
  }
}

const percent = (p) => `${(100 * p).toFixed(1)}%`;

function line(term, text) {
  const dt = document.createElement("dt");
  const dd = document.createElement("dd");
  dt.textContent = term;
  dd.textContent = text;
  at("facts").append(dt, dd);
}

async function open() {
  let card;
  try {
    card = await ask("/v1/model");
  } catch (problem) {
    show(problem);
    return;
  }
  show(null);
  at("unlock").hidden = true;
  at("try").hidden = at("about").hidden = false;
  rule = card.decoding;
  at("name").textContent = document.title = card.name;
  at("tested").textContent = card.test
    ? `${(100 * card.test.accuracy).toFixed(2)}% of ${card.test.n.toLocaleString("en")} unseen test images classified
      correctly ` + `(95% interval ${card.test.accuracy_ci95.map((p) => (100 * p).toFixed(2) + "%").join(" to ")}).`
    : "Not tested: its test set is sealed.";
  at("facts").replaceChildren();
  line("Classes", card.class_names.join(", "));
  const shaped = { crop: ", the middle of a picture", pad: ", all of a picture with black beside it" }[rule.fit] || "";
  const colours = rule.color_mode === "rgb" ? "colour" : "grayscale";
  line("Looks at", `${rule.width} × ${rule.height} pixels, ${colours}${shaped}`);
  if (card.data && card.data.name) line("Learned from", String(card.data.name));
  if (card.test) line("Test set opened", card.test.openings === 1 ? "once" : `${card.test.openings} times`);
  at("limits").replaceChildren(
    ...card.limits.map((text) => Object.assign(document.createElement("li"), { textContent: text })),
  );
  at("how").hidden = Boolean(sessionStorage.getItem(KEY)); // a link carries no key
  at("drawing").hidden = rule.color_mode !== "grayscale";
  const camera = navigator.mediaDevices && navigator.mediaDevices.getUserMedia;
  at("camera").hidden = !camera; // browsers offer it to https and to this machine alone
}

function form(file) {
  const data = new FormData();
  data.append("files", file, file.name || "picture.png");
  return { method: "POST", body: data };
}

async function classify(file) {
  const mine = ++turn;
  current = file;
  at("map").hidden = true;
  show(null);
  try {
    const said = await ask("/v1/predict", form(file));
    if (mine === turn) answer(said.predictions[0], file);
  } catch (problem) {
    if (mine !== turn) return;
    at("result").hidden = true;
    show(problem);
  }
}

function answer(said, file) {
  const image = at("shown");
  URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(file);
  image.onload = () => image.classList.toggle("pixelated", Math.max(image.naturalWidth, image.naturalHeight) <= 96);
  image.alt = `The picture ${said.file}`;
  at("caption").textContent = said.file;
  at("said").textContent = `${said.label}, ${percent(said.probability)}`;
  const rows = Object.entries(said.probabilities).sort((a, b) => b[1] - a[1]);
  at("bars").replaceChildren(...rows.map(([name, p]) => bar(name, p)));
  at("result").hidden = false;
  at("why").disabled = false;
  at("result").scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion)").matches ? "auto" : "smooth" });
}

function bar(name, p) {
  const item = document.createElement("li");
  const fill = document.createElement("i");
  const label = document.createElement("span");
  const number = document.createElement("span");
  fill.style.width = `${100 * p}%`;
  label.textContent = name;
  number.textContent = percent(p);
  number.className = "number";
  item.append(fill, label, number);
  return item;
}

async function explain() {
  const mine = turn;
  at("why").disabled = true;
  show(null);
  try {
    const said = await ask("/v1/occlusion", form(current));
    if (mine === turn) overlay(said);
  } catch (problem) {
    if (mine === turn) show(problem);
  }
  at("why").disabled = false;
}

// Where what the model looks at lies on the picture: left, top, width and height as shares of the picture's sides.
function frame() {
  const image = at("shown");
  const wider = image.naturalWidth / image.naturalHeight / (rule.width / rule.height);
  const pick = { crop: Math.min, pad: Math.max }[rule.fit] || (() => 1);
  const [width, height] = [pick(1, 1 / wider), pick(1, wider)];
  return [(1 - width) / 2, (1 - height) / 2, width, height];
}

function overlay(said) {
  const canvas = at("map");
  const rows = said.drops.length;
  const columns = said.drops[0].length;
  const most = Math.max(0.01, ...said.drops.flat().map(Math.abs));
  const small = document.createElement("canvas");
  small.width = columns;
  small.height = rows;
  const pixels = small.getContext("2d").createImageData(columns, rows);
  said.drops.flat().forEach((drop, i) => {
    const [r, g, b] = drop > 0 ? [240, 110, 30] : [40, 130, 240];
    pixels.data.set([r, g, b, Math.round((215 * Math.abs(drop)) / most)], 4 * i);
  });
  small.getContext("2d").putImageData(pixels, 0, 0);
  canvas.width = 20 * columns;
  canvas.height = 20 * rows;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = true;
  const [x, y, width, height] = frame();
  context.drawImage(small, x * canvas.width, y * canvas.height, width * canvas.width, height * canvas.height);
  canvas.hidden = false;
  at("caption").textContent =
    `Orange: with a grey patch there, ${said.label} becomes less probable, by up to ` +
    `${(100 * Math.max(0, ...said.drops.flat())).toFixed(1)} points. Blue: more probable.`;
}

// --- where pictures come from

const board = at("board");
const pen = board.getContext("2d", { willReadFrequently: true });

function clear() {
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, board.width, board.height);
}

function place(event) {
  const box = board.getBoundingClientRect();
  return [
    ((event.clientX - box.left) * board.width) / box.width,
    ((event.clientY - box.top) * board.height) / box.height,
  ];
}

board.addEventListener("pointerdown", (event) => {
  board.setPointerCapture(event.pointerId);
  pen.strokeStyle = "#fff";
  pen.lineWidth = 22;
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  pen.moveTo(...place(event));
  pen.lineTo(...place(event));
  pen.stroke();
});
board.addEventListener("pointermove", (event) => {
  if (!event.buttons) return;
  pen.lineTo(...place(event));
  pen.stroke();
});

const asFile = (canvas, name) =>
  canvas.toBlob((blob) => classify(new File([blob], name, { type: "image/png" })), "image/png");

at("ask").addEventListener("click", () => asFile(board, "drawing.png"));
at("clear").addEventListener("click", clear);
at("why").addEventListener("click", explain);
at("file").addEventListener("change", (event) => {
  if (event.target.files.length) classify(event.target.files[0]);
  event.target.value = ""; // so that the same file can be chosen again
});

for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", name === "dragenter" || name === "dragover");
  });
}
document.addEventListener("drop", (event) => {
  const file = [...event.dataTransfer.files][0];
  if (file && !at("try").hidden) classify(file);
});
document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files][0];
  if (file && !at("try").hidden) classify(file);
});

function stop() {
  if (stream) stream.getTracks().forEach((track) => track.stop());
  stream = null;
  at("live").hidden = true;
}

at("camera").addEventListener("click", async () => {
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch {
    show(new Refused(0, "No camera is available: there is none, or its use was not allowed."));
    return;
  }
  at("video").srcObject = stream;
  at("take").disabled = true;
  at("live").hidden = false;
  at("video").play().catch(() => {}); // stopped before it began
});
at("video").addEventListener("loadeddata", () => {
  at("take").disabled = false; // before that there is no picture to take
  at("take").focus();
});
at("take").addEventListener("click", () => {
  const video = at("video");
  const side = Math.min(video.videoWidth, video.videoHeight);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  canvas
    .getContext("2d")
    .drawImage(video, (video.videoWidth - side) / 2, (video.videoHeight - side) / 2, side, side, 0, 0, side, side);
  asFile(canvas, "camera.png");
  stop();
});
at("stop").addEventListener("click", stop);

at("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, at("key").value.trim());
  at("key").value = "";
  open();
});

clear();
open();
