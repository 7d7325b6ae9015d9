// What Live and Draw share: pictures go to the server over a WebSocket as JPEG, and come back converted, in order.
// Gradio runs this with `element`, the panel, and `props`: texts {language: {key: text}}, size in pixels of a picture
// to send at first (then that of the answers), examples {name: URL}.

const words = props.texts[navigator.language.split("-")[0]] ?? props.texts.en;
for (const part of element.querySelectorAll("[data-text]")) part.textContent = words[part.dataset.text];
for (const part of element.querySelectorAll("[data-label]")) part.setAttribute("aria-label", words[part.dataset.label]);

const find = (selector) => element.querySelector(selector);
const say = (text) => { find(".status").textContent = text; };
const made = find(".made");

class Stream {
  // depth: how many pictures may be on their way; more than one hides the network, fewer keep the delay short
  constructor(direction, depth, lost = () => {}) {
    const address = new URL(`live/${direction}`, `${window.gradio_config?.root ?? location.origin}/`);
    address.protocol = address.protocol.replace("http", "ws");
    address.searchParams.set("weights", window.chosenWeights ?? "");
    this.sent = []; // when each picture on its way was taken
    this.depth = depth;
    this.small = Object.assign(document.createElement("canvas"), { width: props.size, height: props.size });
    this.socket = new WebSocket(address);
    this.socket.onmessage = ({ data }) => this.receive(data);
    this.socket.onclose = () => { if (!this.closed) { this.closed = true; say(words.lost); lost(); } };
  }

  get ready() {
    return this.socket.readyState === WebSocket.OPEN && this.sent.length < this.depth;
  }

  // draw: paints the picture into a square context of the given size
  send(draw) {
    this.sent.push(performance.now());
    const context = this.small.getContext("2d");
    context.imageSmoothingQuality = "high";
    draw(context, this.small.width);
    this.small.toBlob((blob) => { if (!this.closed) this.socket.send(blob); }, "image/jpeg", 0.92);
  }

  async receive(data) {
    const since = this.sent.shift();
    if (typeof data === "string") return say(data); // a sentence: what went wrong
    const picture = await createImageBitmap(data);
    if (this.closed) return;
    const resized = this.small.width !== picture.width; // the first picture was sent in another size than the model's
    for (const canvas of [made, this.small]) {
      if (canvas.width !== picture.width) canvas.width = canvas.height = picture.width;
    }
    made.getContext("2d").drawImage(picture, 0, 0);
    this.shown?.(performance.now() - since, resized);
  }

  close() {
    this.closed = true;
    this.socket.close();
  }
}
