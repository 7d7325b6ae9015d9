// The choice to convert on this device, on a conversion page. The page asks window.here[props.direction] first, whose
// answers are those of the server; where it throws, it is the server's turn. See engine.js, and cyclegan/space/here.py.
// `props.sizes` are those that a result may have if the visitor chooses none, and `props.usual` is that of the release.

const { direction } = props;
const [given, target] = direction.split("_to_");
const PATIENCE = 2; // answers of the server until the device is compared with it
let asked = 0; // when the server was
let answers = 0;
let newest = 0;
let last = Promise.resolve();

// One after the other; of those that wait only the newest. What takes the place of others changes nothing
const inTurn = (work) => {
  const turn = ++newest;
  last = last.catch(() => {}).then(() => (turn === newest ? work() : []));
  return last;
};
const onDevice = (possible, work) => inTurn(async () => {
  if (!possible || !isHere()) {
    asked = performance.now();
    throw new Error("The server converts this picture.");
  }
  try {
    say("");
    return await work(await findDevice(direction), await import(new URL("modules/pictures.js", devicePage)));
  } catch (problem) {
    if (problem.key !== "no_picture") refuse(problem); // the server opens more kinds of files
    throw problem;
  }
});

const fetched = async ({ url }, open) => open(await (await fetch(url)).blob());
// A picture as Gradio's components take it, and the server if it is sent on
const asFile = (image, name, paint) => {
  const canvas = document.createElement("canvas");
  paint(canvas, image);
  const url = canvas.toDataURL().replace(";", `;name=${encodeURIComponent(name)};`); // by which history.js knows it
  return { url, orig_name: `${name}.png` }; // with a path or `meta`, the server would look for a file that was uploaded
};
const parse = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 127.5 - 1);

// What a visitor chose of the look -> the condition of the model, or null
const conditionOf = async ({ runner, release }, open, look, like) => {
  const { styles, colours } = release.controls;
  if (target === "sketch") return look ? styles.map((name) => Number(name === look)) : null;
  if (!colours.length) return null;
  const palette = like ? await runner.palette(await fetched(like, open), release.image_size) : Array(4 * colours.length).fill(0);
  return colours.flatMap((part, at) => (look?.[part] ? [...parse(look[part]), 1] : palette.slice(4 * at, 4 * at + 4)));
};

// Gives what `show` in app.py gives: the pair, the square, what there is to say, and that it can be sent on
const convert = (image, _weights, framing, own, factor, look, like) => onDevice(image, async (device, { open, paint }) => {
  const { runner, release } = device;
  const bitmap = await fetched(image, open);
  const unit = Math.min(bitmap.width, bitmap.height);
  const chosen = framing === "own" ? own?.square : null;
  const wish = chosen ? [{ square: chosen.map((length) => length * unit) }] : { own: "middle", pasted: "faces" }[framing] ?? framing;
  const size = factor ? Math.round(release.image_size * factor) : [...props.sizes];
  const condition = await conditionOf(device, open, look, like);
  const answer = await runner.convert(direction, bitmap, { framing: wish, size, condition, pasted: framing === "pasted" });
  bitmap.close();
  const { found, kind } = answer;
  const told = kind === "blank" ? "blank" : !found ? "no_face" : kind === "photo" && given === "sketch" ? "is_photo" : `ready_${target}`;
  const seen = answer.faces.length ? answer.faces : answer.frames.map(({ square }) => square).filter(Boolean);
  const faces = seen.map((square) => square.map((length) => length / unit));
  const name = image.orig_name?.replace(/\.[^.]*$/, "") ?? given;
  const pair = [asFile(answer.given, name, paint), asFile(answer.made, `${name}-${target}`, paint)];
  const active = { interactive: true, __type__: "update" };
  const place = chosen ? { __type__: "update" } : { square: faces[0] ?? null, faces };
  return [pair, place, { told, name: `${name}-${target}` }, active, active, { visible: false, __type__: "update" }];
});

// And back again: what was given, what was made, and what comes back
const convertBack = (pair) => onDevice(pair?.[1], async ({ runner }, { open, paint }) => {
  const image = await fetched(pair[1], open);
  const { made } = await runner.convert(`${target}_to_${given}`, image, { framing: "whole", size: Math.min(image.width, image.height) });
  image.close();
  const shown = [...pair, asFile(made, `${given}-again`, paint)].map((file) => ({ image: file, caption: null }));
  return [{ value: shown, visible: true, __type__: "update" }];
});

// Compares the device with the answer that has come
const compare = async (delay) => {
  const made = element.closest("[role=tabpanel]").querySelector(".result img.fixed");
  await made.decode();
  await compareDevice(direction, delay, (Math.min(made.naturalWidth, made.naturalHeight) / props.usual) ** 2);
};

window.here ??= {};
window.here[direction] = {
  convert, convertBack,
  answered: () => { if (++answers >= PATIENCE) compare(performance.now() - asked).catch(console.warn); },
};
here.addEventListener("click", () => trigger("input")); // converts anew
offerDevice(() => {});
