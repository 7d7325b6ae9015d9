// The lines of a sketch, as strong and as dark as the sliders say, at once: the picture shown has an SVG filter, and
// what is saved goes through a canvas, since Safari's has no filters.

const panel = element.closest("[role=tabpanel]");
const [dark, strong] = ["darkness", "strength"].map((name) => find(`.${name} input`));
const filter = find("filter");
const AROUND = Array.from({ length: 8 }, (_, eighth) => [Math.cos, Math.sin].map((part) => part((eighth * Math.PI) / 4)));
const mode = () => (strong.value > 0 ? "darken" : "lighten"); // lines spread, or the paper
const gamma = () => 2 ** (1.5 * dark.value);
filter.id = `lines-${props.made}`;

// The two pictures of the slider, before and after
const pictures = () => ["img:not(.fixed)", "img.fixed"].map((one) => panel.querySelector(`.result .slider-wrap ${one}`));
// How far lines spread or shrink, in pixels of the picture: as far in a picture of twice the size
const reach = (image) => Math.max(1, Math.round(Math.min(image.naturalWidth, image.naturalHeight) / 256));

// The picture made as it is shown, on a canvas large enough to be saved
const finished = () => {
  const image = pictures()[1];
  const canvas = canvasOf(image.naturalWidth, image.naturalHeight);
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  if (Number(strong.value)) {
    const spread = canvasOf(canvas.width, canvas.height);
    const lines = spread.getContext("2d");
    lines.drawImage(image, 0, 0);
    lines.globalCompositeOperation = mode();
    for (const [x, y] of AROUND) lines.drawImage(image, x * reach(image), y * reach(image));
    context.globalAlpha = Math.abs(strong.value);
    context.drawImage(spread, 0, 0);
  }
  if (gamma() !== 1) {
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
    const table = Uint8ClampedArray.from({ length: 256 }, (_, value) => 255 * (value / 255) ** gamma());
    for (let place = 0; place < pixels.data.length; place++) if (place % 4 < 3) pixels.data[place] = table[pixels.data[place]];
    context.putImageData(pixels, 0, 0);
  }
  return large(canvas);
};

// The same as a filter: the picture blended with itself, moved in every direction
const svg = (name, attributes) => {
  const part = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
  return part;
};
const mixed = filter.querySelector("[operator=arithmetic]");
const moves = AROUND.map((_, number) => [
  svg("feOffset", { in: "paper", result: `moved${number}` }),
  svg("feBlend", { in: number ? `spread${number - 1}` : "paper", in2: `moved${number}`, result: `spread${number}` }),
]);
mixed.before(...moves.flat());
const redraw = () => {
  const image = pictures()[1];
  if (!image) return;
  const unit = Math.min(image.clientWidth, image.clientHeight) / Math.min(image.naturalWidth, image.naturalHeight);
  for (const [number, [move, blend]] of moves.entries()) {
    move.setAttribute("dx", AROUND[number][0] * reach(image) * unit);
    move.setAttribute("dy", AROUND[number][1] * reach(image) * unit);
    blend.setAttribute("mode", mode());
  }
  mixed.setAttribute("k2", Math.abs(strong.value));
  mixed.setAttribute("k3", 1 - Math.abs(strong.value));
  for (const part of filter.querySelectorAll("[type=gamma]")) part.setAttribute("exponent", gamma());
  panel.style.setProperty("--lines", Number(strong.value) || Number(dark.value) ? `url(#${filter.id})` : "none");
};
dark.oninput = strong.oninput = redraw;
panel.addEventListener("load", redraw, true); // of a picture of another size
