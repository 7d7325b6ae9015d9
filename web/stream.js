// What Live and Draw share: pictures go to the server over a WebSocket as JPEG, and come back converted, in order.
// `props` has size, in pixels of a picture to send at first (then that of the answers), and examples {name: URL}.
//
// openStream(direction, depth, choices, lost, target) opens a Stream, or what takes its place on this device. A panel
// knows this:
//   depth: how many pictures may be on their way; more than one hides the network, fewer keep the delay short
//   choices: of the address, such as {style: "bold", size: 512}; lost(): is called when the stream has ended by itself
//   target: the canvas of the answers; the one on the page if there is none
//   ready: whether a picture may be sent; close()
//   send(draw, prepared): draw(context, size) paints a picture; what it returns is given to found. prepared: this device
//   does not even it out
//   good: whether this device found nothing to even out in the last picture
//   opened(), shown(milliseconds, resized), refused(), found(face, of): set by the panel that wants to know. A face is
//   [left, top, side] in sides of the picture, or null.

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

// What takes a stream's place on this device: see engine.js
class Device {
  constructor(direction, depth, choices = {}, _ = null, target = made) {
    Object.assign(this, { direction, depth, choices, target, waiting: 0 });
    this.size = choices.size ?? props.size;
    this.small = canvasOf(this.size, this.size);
    const started = (device) => { this.device = device; this.opened?.(); };
    findDevice(direction).then(started, refuse); // until then nothing is sent, not to the server either
  }

  get ready() {
    return this.device && this.waiting < this.depth;
  }

  async send(draw, prepared) {
    this.waiting++;
    const since = performance.now();
    const context = this.small.getContext("2d");
    context.imageSmoothingQuality = "high";
    draw(context, this.size);
    const { runner, release } = this.device;
    try {
      const image = await createImageBitmap(this.small);
      const { style } = this.choices;
      const condition = style ? release.controls.styles.map((name) => Number(name === style)) : null;
      const answer = await runner.convert(this.direction, image, { width: this.size, height: this.size, condition, prepared });
      if (this.closed) return;
      this.good = answer.good;
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

// Converts one picture as it is; the canvas of the answer, or an error
const convertOne = (direction, draw, choices) => new Promise((done, refuse) => {
  const canvas = canvasOf(1, 1);
  const fail = () => refuse(new Error(words.lost));
  const stream = openStream(direction, 1, choices, fail, canvas);
  stream.opened = () => stream.send(draw, true);
  stream.refused = fail;
  stream.shown = () => { stream.close(); if (canvas.width > 1) done(canvas); else fail(); };
});

const openStream = (...settings) => (isHere() ? new Device(...settings) : new Stream(...settings));
