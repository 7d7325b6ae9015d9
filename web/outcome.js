// What became of a picture: what there is to say about it, in the result's frame, and how to keep it.
// `props.made` is the kind of picture that is made; the value is {told: the key of a text, or error: a sentence}, or null.

const panel = element.closest("[role=tabpanel]");
const told = find(".told");
const dark = find(".darkness input");
const filter = find("filter");
const gamma = () => 2 ** (1.5 * dark.value);
filter.id = `darkness-${props.made}`;

// The two pictures of the slider, before and after, and the name of the file made
const pictures = () => ["img:not(.fixed)", "img.fixed"].map((one) => panel.querySelector(`.slider-wrap ${one}`));
const name = () => decodeURIComponent(pictures()[1].src.split("/").pop().replace(/\.png$/, ""));
const canvasOf = (width, height) => Object.assign(document.createElement("canvas"), { width, height });

// The picture made, with the lines as dark as they are shown. Safari's canvas has no filters.
const finished = () => {
  const image = pictures()[1];
  const canvas = canvasOf(image.naturalWidth, image.naturalHeight);
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  if (gamma() !== 1) {
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
    const table = Uint8ClampedArray.from({ length: 256 }, (_, value) => 255 * (value / 255) ** gamma());
    for (let place = 0; place < pixels.data.length; place++) if (place % 4 < 3) pixels.data[place] = table[pixels.data[place]];
    context.putImageData(pixels, 0, 0);
  }
  return canvas;
};
// Paper becomes transparent, and the lines stay
const inked = () => {
  const canvas = finished();
  const context = canvas.getContext("2d");
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let place = 0; place < pixels.data.length; place += 4) {
    const [red, green, blue] = pixels.data.subarray(place, place + 3);
    pixels.data.set([0, 0, 0, 255 - (0.299 * red + 0.587 * green + 0.114 * blue)], place);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
};
const sideBySide = () => {
  const made = finished();
  const canvas = canvasOf(2 * made.width, made.height);
  const context = canvas.getContext("2d");
  context.drawImage(pictures()[0], 0, 0, made.width, made.height);
  context.drawImage(made, made.width, 0);
  return canvas;
};

// Three seconds in which the one picture becomes the other
const film = () => {
  const made = finished();
  const [before] = pictures();
  const canvas = canvasOf(made.width - (made.width % 2), made.height - (made.height % 2));
  const context = canvas.getContext("2d");
  return record(canvas, (seconds) => {
    context.globalAlpha = 1;
    context.drawImage(before, 0, 0, canvas.width, canvas.height);
    context.globalAlpha = Math.max(0, Math.min(1, seconds - 1));
    context.drawImage(made, 0, 0);
    return seconds < 3;
  });
};

const busy = (work) => async ({ currentTarget: button }) => {
  button.disabled = true;
  try {
    await work();
  } finally {
    button.disabled = false;
  }
};
find(".save").onclick = busy(async () => download(await toBlob(finished()), `${name()}.png`));
find(".both").onclick = busy(async () => download(await toBlob(sideBySide()), `${name()}-before-after.png`));
find(".ink").onclick = busy(async () => download(await toBlob(inked()), `${name()}-ink.png`));
find(".film").onclick = busy(async () => download(await film(), `${name()}.${FILM.split("/")[1]}`));
find(".share").onclick = busy(async () => {
  const file = new File([await toBlob(finished())], `${name()}.png`, { type: "image/png" });
  await navigator.share({ files: [file] }).catch(() => {}); // who changes their mind is no error
});
find(".share").hidden = !navigator.canShare?.({ files: [new File([], "a.png", { type: "image/png" })] });
find(".film").hidden = !FILM;
find(".ink").hidden = find(".darkness").hidden = props.made !== "sketch";
dark.oninput = () => {
  for (const part of filter.querySelectorAll("[type=gamma]")) part.setAttribute("exponent", gamma());
  panel.style.setProperty("--darkness", `url(#${filter.id})`);
};

watch("value", () => {
  panel.querySelectorAll(".shown")[1]?.append(told); // which may not have been there before
  const { told: key, error } = props.value ?? {};
  told.textContent = error ?? words[key] ?? "";
  told.classList.toggle("error", Boolean(error));
  told.classList.toggle("quiet", Boolean(key?.startsWith("ready")));
  for (const part of element.querySelectorAll("button, input")) part.disabled = !key;
});
