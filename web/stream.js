// What Live and Draw share: pictures go to the server over a WebSocket as JPEG, and come back converted, in order.
// `props` has size, in pixels of a picture to send at first (then that of the answers), and examples {name: URL}.
//
// openStream(direction, depth, choices, lost, target) opens a Stream, or what takes its place on this device. A panel
// knows this:
//   depth: how many pictures may be on their way; more than one hides the network, fewer keep the delay short
//   choices: of the address, such as {style: "bold", size: 512}; lost(): is called when the stream has ended by itself
//   target: the canvas of the answers; the one on the page if there is none
//   ready: whether a picture may be sent; close()
//   send(draw): draw(context, size) paints a picture; what it returns is given to found
//   opened(), shown(milliseconds, resized), refused(), found(face, of): set by the panel that wants to know. A face is
//   [left, top, side] in sides of the picture, or null.

const say = (text) => { find(".status").textContent = text; };
const made = find(".made");
const REFUSED = 1008; // the code of WebSockets for "policy violation"

class Stream {
  constructor(direction, depth, choices = {}, lost = () => {}, target = made) {
    const address = new URL(`live/${direction}`, `${window.gradio_config?.root ?? location.origin}/`);
    address.protocol = address.protocol.replace("http", "ws");
    const asked = { weights: window.chosenWeights ?? "", ...choices };
    for (const [name, value] of Object.entries(asked)) address.searchParams.set(name, value);
    this.sent = []; // of each picture on its way: when it was taken, and what draw returned
    this.depth = depth;
    this.target = target;
    this.small = canvasOf(choices.size ?? props.size, choices.size ?? props.size);
    this.socket = new WebSocket(address);
    this.socket.onopen = () => this.opened?.();
    this.socket.onmessage = ({ data }) => this.receive(data);
    this.socket.onclose = ({ code }) => {
      if (this.closed) return;
      this.closed = true;
      lost();
      if (code !== REFUSED) say(words.lost); // else the server has said why
    };
  }

  get ready() {
    return this.socket.readyState === WebSocket.OPEN && this.sent.length < this.depth;
  }

  send(draw) {
    const since = performance.now();
    const context = this.small.getContext("2d");
    context.imageSmoothingQuality = "high";
    this.sent.push({ since, of: draw(context, this.small.width) });
    this.small.toBlob((blob) => { if (!this.closed) this.socket.send(blob); }, "image/jpeg", 0.92);
  }

  async receive(data) {
    if (data[0] === "{") return this.found?.(JSON.parse(data).face, this.sent[0].of); // its picture follows
    const { since } = this.sent.shift() ?? {};
    if (typeof data === "string") { // a sentence: what went wrong
      say(data);
      return this.refused?.();
    }
    const picture = await createImageBitmap(data);
    if (this.closed) return;
    const resized = this.small.width !== picture.width; // the first picture was sent in another size than the model's
    for (const canvas of [this.target, this.small]) {
      if (canvas.width !== picture.width) canvas.width = canvas.height = picture.width;
    }
    this.target.getContext("2d").drawImage(picture, 0, 0);
    this.shown?.(performance.now() - since, resized);
  }

  close() {
    this.closed = true;
    this.socket.close();
  }
}

// What can take a stream's place: pictures are converted on this device, by the page of docs/device.md that the app has
// beside it. Gradio's page lacks the headers for threads, so it is one thread, or WebGPU.
class Device {
  constructor(direction, depth, choices = {}, _ = null, target = made) {
    Object.assign(this, { direction, depth, choices, target, waiting: 0 });
    this.size = choices.size ?? props.size;
    this.small = canvasOf(this.size, this.size);
    findDevice(direction).then(() => this.opened?.(), refuse); // until then nothing is sent, not to the server either
  }

  get ready() {
    return device.runner && this.waiting < this.depth;
  }

  async send(draw) {
    this.waiting++;
    const since = performance.now();
    const context = this.small.getContext("2d");
    context.imageSmoothingQuality = "high";
    draw(context, this.size);
    try {
      const image = await createImageBitmap(this.small);
      const condition = this.choices.style ? device.styles.map((name) => Number(name === this.choices.style)) : null;
      const answer = await device.runner.convert(this.direction, image, { width: this.size, height: this.size, condition });
      if (this.closed) return;
      Object.assign(this.target, { width: this.size, height: this.size });
      this.target.getContext("2d").putImageData(answer.made, 0, 0);
    } catch (problem) {
      refuse(problem);
    } finally {
      this.waiting--;
    }
    if (!this.closed) this.shown?.(performance.now() - since, false);
  }

  close() {
    this.closed = true;
  }
}

const here = find(".here");
const device = { runner: null, milliseconds: Infinity };

// The device cannot: the server goes on
const refuse = (problem) => {
  console.warn(problem);
  device.found = device.runner = null;
  here.checked = false;
  here.dispatchEvent(new Event("change"));
  say(words.no_device);
};

const startDevice = async (direction) => {
  const base = new URL("device/", `${window.gradio_config?.root ?? location.origin}/`);
  const { Runner, measure, offers } = await import(new URL("modules/engine.js", base));
  const release = await (await fetch(new URL("release.json", base))).json();
  device.styles = release.controls.styles;
  const start = (engine) => new Runner(release, base.href, engine);
  const engines = (await offers()).filter(({ threads }) => threads === 1);
  const { fastest, times } = await measure(engines, start, direction, props.size);
  device.milliseconds = Math.min(...Object.values(times));
  device.runner = start(fastest);
};
// Starts the fastest way of this device, once
const findDevice = (direction) => {
  device.found ??= startDevice(direction);
  return device.found;
};

// After some answers of the server: the device takes over where it is faster, and the visitor did not choose
const compareDevice = async (direction, delay) => {
  if (device.compared || here.parentElement.hidden || here.dataset.chosen) return;
  device.compared = true;
  await findDevice(direction).catch(() => {});
  if (!(device.milliseconds < delay) || here.dataset.chosen) return;
  here.checked = true;
  here.dispatchEvent(new Event("change"));
};

// Shows the choice if the app has the page for the device. changed: starts the stream anew
const offerDevice = async (changed) => {
  const page = new URL("device/release.json", `${window.gradio_config?.root ?? location.origin}/`);
  here.parentElement.hidden = !(await fetch(page, { method: "HEAD" }).catch(() => ({}))).ok;
  here.onclick = () => { here.dataset.chosen = true; };
  here.onchange = changed;
};

// Converts one picture; the canvas of the answer, or an error
const convertOne = (direction, draw, choices) => new Promise((done, refuse) => {
  const canvas = canvasOf(1, 1);
  const fail = () => refuse(new Error(words.lost));
  const stream = openStream(direction, 1, choices, fail, canvas);
  stream.opened = () => stream.send(draw);
  stream.refused = fail;
  stream.shown = () => { stream.close(); if (canvas.width > 1) done(canvas); else fail(); };
});

const openStream = (...settings) => {
  here.disabled = ![undefined, props.first].includes(window.chosenWeights); // the page has no other weights
  if (here.disabled) here.checked = false;
  return here.checked ? new Device(...settings) : new Stream(...settings);
};
