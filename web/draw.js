// A sketchpad whose photo is painted while the pen moves: the newest drawing is sent whenever the last answer is there.

const pad = find(".pad");
const pen = pad.getContext("2d", { willReadFrequently: true });
const eraser = find(".eraser");
const history = [];
let stream = null;
let changed = false;
let last = null; // where the pen was; null: it is up

pen.lineCap = pen.lineJoin = "round";
pen.fillStyle = "white";
pen.fillRect(0, 0, pad.width, pad.height);

const send = () => {
  if (!changed) return;
  if (!stream || stream.closed) {
    stream = openStream("sketch_to_photo", 1);
    stream.opened = send;
    stream.shown = (delay, resized) => {
      if (made.dataset.count > 5) compareDevice("sketch_to_photo", delay);
      made.dataset.count = Number(made.dataset.count ?? 0) + 1;
      changed ||= resized;
      send();
    };
  }
  if (!stream.ready) return;
  changed = false;
  stream.send((context, size) => context.drawImage(pad, 0, 0, size, size));
};
const change = () => { changed = true; send(); };
const again = () => { if (stream) { stream.close(); stream = null; change(); } };
addEventListener("weights", again); // others were chosen
offerDevice(again);

const remember = () => {
  history.push(pen.getImageData(0, 0, pad.width, pad.height));
  if (history.length > 30) history.shift();
};
const place = (event) => {
  const box = pad.getBoundingClientRect();
  return [((event.clientX - box.left) * pad.width) / box.width, ((event.clientY - box.top) * pad.height) / box.height];
};
const stroke = (event) => {
  const erasing = eraser.getAttribute("aria-pressed") === "true";
  const next = place(event);
  pen.strokeStyle = erasing ? "white" : "#222";
  pen.lineWidth = find(".size").value * (erasing ? 3 : 1);
  pen.beginPath();
  pen.moveTo(...(last ?? next));
  pen.lineTo(...next);
  pen.stroke();
  last = next;
};

pad.onpointerdown = (event) => {
  if (event.button !== 0) return;
  pad.setPointerCapture(event.pointerId);
  remember();
  stroke(event);
  change();
};
pad.onpointermove = (event) => {
  if (!last) return;
  for (const step of event.getCoalescedEvents?.() ?? [event]) stroke(step);
  change();
};
pad.onpointerup = pad.onpointercancel = () => { last = null; };

const undo = () => {
  if (!history.length) return;
  pen.putImageData(history.pop(), 0, 0);
  change();
};
find(".undo").onclick = undo;
pad.onkeydown = (event) => {
  if (event.key === "z" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); undo(); }
};
find(".clear").onclick = () => { remember(); pen.fillRect(0, 0, pad.width, pad.height); change(); };
eraser.onclick = () => eraser.setAttribute("aria-pressed", eraser.getAttribute("aria-pressed") !== "true");
find(".save").onclick = () => made.toBlob((blob) => {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: "photo.png" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
});

for (const [name, source] of Object.entries(props.examples)) {
  const picture = Object.assign(new Image(), { src: source, alt: name, width: 64, height: 64 });
  const choice = Object.assign(document.createElement("button"), { type: "button" });
  choice.setAttribute("aria-label", words.start_from_one.replace("{name}", name));
  choice.append(picture);
  choice.onclick = () => { remember(); pen.drawImage(picture, 0, 0, pad.width, pad.height); change(); };
  find(".starts").append(choice);
}
