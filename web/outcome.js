// What became of a picture: what there is to say about it, in the result's frame, and how to keep it.
// `props.made` is the kind of picture that is made, `props.forms` what the server can make of it; the value is
// {told: the key of a text, name: of the file made} or {error: a sentence}, or null.

const told = find(".told");
const name = () => props.value.name;
// Paper, which is the commonest of the light greys, becomes transparent, and the lines stay
const inked = () => {
  const canvas = finished();
  const context = canvas.getContext("2d");
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  const grey = Uint8ClampedArray.from({ length: pixels.data.length / 4 }, (_, at) => {
    const [red, green, blue] = pixels.data.subarray(4 * at, 4 * at + 3);
    return 0.299 * red + 0.587 * green + 0.114 * blue;
  });
  const counts = new Uint32Array(256);
  for (const value of grey) counts[value]++;
  const paper = counts.lastIndexOf(Math.max(...counts.subarray(192)));
  pixels.data.fill(0);
  for (const [at, value] of grey.entries()) pixels.data[4 * at + 3] = 255 - (255 * value) / paper;
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
  } catch (problem) {
    console.warn(problem);
    tell(words.not_saved, true);
  } finally {
    button.disabled = false;
  }
};
find(".save").onclick = busy(async () => download(await toBlob(finished()), `${name()}.png`));
find(".both").onclick = busy(async () => download(await toBlob(sideBySide()), `${name()}-before-after.png`));
find(".ink").onclick = busy(async () => download(await toBlob(inked()), `${name()}-ink.png`));
for (const [form, picture] of [["gif", sideBySide], ["pdf", finished], ["svg", finished]]) {
  find(`.${form}`).onclick = busy(async () => download(await formed(picture(), form), `${name()}.${form}`));
}
find(".film").onclick = busy(async () => download(await film(), `${name()}.${FILM.split("/")[1]}`));
find(".share").onclick = busy(async () => {
  const file = new File([await toBlob(finished())], `${name()}.png`, { type: "image/png" });
  await navigator.share({ files: [file] }).catch(() => {}); // who changes their mind is no error
});
find(".share").hidden = !navigator.canShare?.({ files: [new File([], "a.png", { type: "image/png" })] });
find(".film").hidden = !FILM;
for (const part of element.querySelectorAll(".sketch")) part.hidden = props.made !== "sketch";
find(".svg").hidden ||= !props.forms.includes("svg");

const tell = (sentence, wrong = false, quiet = false) => {
  told.textContent = sentence;
  told.classList.toggle("error", wrong);
  told.classList.toggle("quiet", quiet);
};
watch("value", () => {
  panel.querySelectorAll(".shown")[1]?.append(told); // which may not have been there before
  const { told: key, error } = props.value ?? {};
  tell(error ?? words[key] ?? "", Boolean(error), Boolean(key?.startsWith("ready")));
  for (const part of element.querySelectorAll("button, input")) part.disabled = !key;
});
