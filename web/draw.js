// A sketchpad whose photo is painted while the pen moves: the newest drawing is sent whenever the last answer is there.

const pen = pad.getContext("2d", { willReadFrequently: true });
const eraser = find(".eraser");
const past = [];
const future = [];
let blank = true;
let stream = null;
let changed = false;
let pointer = null; // the finger or pen that draws; a palm or a second finger does not
let last = null; // where it was

pen.lineCap = pen.lineJoin = "round";
pen.fillStyle = "white";
const clear = () => { pen.fillRect(0, 0, pad.width, pad.height); blank = true; };
clear();

// A button works where there is something for it
const enable = () => {
  const photo = !blank && made.dataset.count;
  const works = { undo: past.length, redo: future.length, clear: !blank, "save-drawing": !blank, save: photo, replay: photo, "replay-gif": photo };
  for (const [name, on] of Object.entries(works)) find(`.${name}`).disabled = !on;
};

const send = () => {
  if (!changed) return;
  if (!stream || stream.closed) {
    stream = openStream("sketch_to_photo", 1);
    stream.opened = send;
    stream.shown = (delay, resized) => {
      if (made.dataset.count > 5) compareDevice("sketch_to_photo", delay);
      made.dataset.count = Number(made.dataset.count ?? 0) + 1;
      changed ||= resized;
      if (!changed && pointer === null && !blank) say(words.ready_photo);
      if (!blank) note();
      enable();
      send();
    };
  }
  if (!stream.ready) return;
  changed = false;
  // A stroke only adds to the drawing, and does not wait on this device until a good one is evened out
  const prepared = stream.good && pointer !== null && !pressed(eraser);
  stream.send((context, size) => context.drawImage(pad, 0, 0, size, size), prepared);
};
const change = () => { changed = true; enable(); send(); };
const again = () => { if (stream) { stream.close(); stream = null; change(); } };
addEventListener("weights", again); // others were chosen
offerDevice(again);

const KEPT = "face-drawing"; // the drawing outlives a reload, in the visitor's own browser
const store = () => {
  try {
    if (blank) localStorage.removeItem(KEPT);
    else localStorage.setItem(KEPT, pad.toDataURL());
  } catch { /* the browser keeps nothing, or has no room */ }
};
const now = () => ({ image: pen.getImageData(0, 0, pad.width, pad.height), blank });
const remember = () => {
  past.push(now());
  future.length = 0;
  if (past.length > 30) past.shift();
};
const spot = (event) => {
  const box = pad.getBoundingClientRect();
  return [((event.clientX - box.left) * pad.width) / box.width, ((event.clientY - box.top) * pad.height) / box.height];
};
const stroke = (event) => {
  const erasing = pressed(eraser);
  const next = spot(event);
  pen.strokeStyle = erasing ? "white" : "#222";
  const pressure = event.pointerType === "pen" ? 0.4 + 1.2 * event.pressure : 1;
  pen.lineWidth = find(".size").value * (erasing ? 3 : pressure);
  pen.beginPath();
  pen.moveTo(...(last ?? next));
  pen.lineTo(...next);
  pen.stroke();
  last = next;
  blank = false;
};

pad.onpointerdown = (event) => {
  if (event.button !== 0 || pointer !== null) return;
  pointer = event.pointerId;
  pad.setPointerCapture(pointer);
  remember();
  stroke(event);
  change();
};
pad.onpointermove = (event) => {
  if (event.pointerId !== pointer) return;
  for (const step of event.getCoalescedEvents?.() ?? [event]) stroke(step);
  change();
};
pad.onpointerup = pad.onpointercancel = (event) => {
  if (event.pointerId !== pointer) return;
  pointer = last = null;
  store();
  if (stream?.good) change(); // the stroke did not wait for it
};

const step = (from, to) => {
  if (!from.length) return;
  to.push(now());
  const { image, blank: empty } = from.pop();
  pen.putImageData(image, 0, 0);
  blank = empty;
  change();
  store();
};
const undo = () => step(past, future);
const redo = () => step(future, past);
find(".undo").onclick = undo;
find(".redo").onclick = redo;
pad.onkeydown = (event) => {
  if (event.key.toLowerCase() !== "z" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  if (event.shiftKey) redo();
  else undo();
};
const begin = (draw) => { remember(); draw(); change(); store(); };
const place = (picture) => { pen.drawImage(picture, 0, 0, pad.width, pad.height); blank = false; };
find(".clear").onclick = () => begin(() => { clear(); forget(); });
eraser.onclick = () => eraser.setAttribute("aria-pressed", !pressed(eraser));
find(".save").onclick = async () => keep(await toBlob(large(made)), "drawing-photo.png");
find(".save-drawing").onclick = async () => keep(await toBlob(pad), "drawing.png");

for (const [name, source] of Object.entries(props.examples)) {
  const picture = Object.assign(new Image(), { src: source, alt: name, width: 64, height: 64 });
  const choice = Object.assign(document.createElement("button"), { type: "button" });
  choice.setAttribute("aria-label", words.start_from_one.replace("{name}", name));
  choice.append(picture);
  choice.onclick = () => begin(() => place(picture));
  find(".starts").append(choice);
}

try {
  const kept = localStorage.getItem(KEPT);
  const picture = Object.assign(new Image(), { src: kept ?? "" });
  picture.onload = () => { place(picture); change(); };
} catch { /* the browser keeps nothing */ }
