// What can take the server's place: pictures are converted on this device, by the page of docs/device.md that the app has
// beside it. Gradio's page lacks the headers for threads, so it is one thread, or WebGPU.
// A panel that offers it has a checkbox .here and a .status, and props.first, the name of the only weights it has.

const devicePage = new URL("device/", `${window.gradio_config?.root ?? location.origin}/`);
const here = find(".here");
const say = (text) => { find(".status").textContent = text; };

const startDevice = async (direction) => {
  const { Runner, measure, offers } = await import(new URL("modules/engine.js", devicePage));
  const release = await (await fetch(new URL("release.json", devicePage))).json();
  const start = (engine) => new Runner(release, devicePage.href, engine);
  const engines = (await offers()).filter(({ threads }) => threads === 1);
  const { fastest, times } = await measure(engines, start, direction, release.image_size);
  return { release, runner: start(fastest), milliseconds: Math.min(...Object.values(times)) };
};
// Starts the fastest way of this device, once for all panels: { release, runner, milliseconds of a picture }
const findDevice = (direction) => {
  window.device ??= startDevice(direction);
  return window.device;
};

const take = (checked) => {
  here.checked = checked;
  here.dispatchEvent(new Event("change"));
};
// The device cannot: the server goes on
const refuse = (problem) => {
  console.warn(problem);
  window.device = null;
  take(false);
  say(words.no_device);
};

// Whether a conversion is for the device: it is chosen, and has these weights
const isHere = () => {
  here.disabled = ![undefined, props.first].includes(window.chosenWeights);
  if (here.disabled) here.checked = false;
  return here.checked;
};

// After some answers of the server: the device takes over where it is faster, and the visitor did not choose.
// times: as many pixels as those of the release's own size
let compared = false;
const compareDevice = async (direction, delay, times = 1) => {
  if (compared || here.parentElement.hidden || here.disabled || here.dataset.chosen) return;
  compared = true;
  const { milliseconds } = await findDevice(direction).catch(() => ({}));
  if (milliseconds * times < delay && !here.dataset.chosen) take(true);
};

// Shows the choice as soon as the app has the page for the device, which is built in the minutes after its start
const offerDevice = async (changed) => {
  here.onclick = () => { here.dataset.chosen = true; };
  here.onchange = changed;
  for (let times = 10; times && here.parentElement.hidden; times--) {
    const { ok } = await fetch(new URL("release.json", devicePage), { method: "HEAD" }).catch(() => ({}));
    here.parentElement.hidden = !ok;
    if (!ok) await new Promise((done) => { setTimeout(done, 20_000); });
  }
};
