// The page: reads the release, starts the runner, and opens the tabs.

import { conversion } from "./conversion.js";
import { draw } from "./draw.js";
import { measure, name, offers, Runner } from "./engine.js";
import { tidy } from "./files.js";
import { live } from "./live.js";
import { batch } from "./batch.js";
import { has, label, read, sides, text } from "./texts.js";

const SLOW = 1500; // milliseconds of a picture from which on smaller ones are made
const base = new URL("../", import.meta.url).href;
const find = (selector) => document.querySelector(selector);
const remembered = (key) => { try { return JSON.parse(localStorage.getItem(key)); } catch { return null; } };
const remember = (key, value) => { try { localStorage.setItem(key, JSON.stringify(value)); } catch { /* private window */ } };

const say = (key, values) => { find(".status").textContent = key ? text(key, values) : ""; };
const fail = (problem) => {
  console.warn(problem);
  const key = has(problem.key) ? problem.key : "failed";
  say(key, { detail: problem.detail || problem.message });
};

class App {
  constructor(release, engines) {
    Object.assign(this, { release, engines, say, fail, text, busy: 0, converted: 0, arrived: {}, tabs: {} });
    this.directions = Object.keys(release.directions);
    const kept = remembered("engine");
    // Another release or another browser may be fastest another way
    this.measured = kept?.for === this.key ? kept : null;
    const wanted = remembered("engine-chosen") ?? this.measured?.fastest;
    this.take(engines.find((engine) => name(engine) === wanted) ?? engines[0]);
  }

  get key() {
    const { directions, runtime } = this.release;
    return [JSON.stringify(directions), runtime.binary.name, ...this.engines.map(name), navigator.userAgent].join(" ");
  }

  // Pixels of a side, or several of which the face chooses
  sizes(direction) {
    return Number(find("select.size").value) || this.release.directions[direction].sizes;
  }

  make(engine, first) {
    return new Runner(this.release, base, engine, (part, bytes) => this.progress(part, bytes), first);
  }

  take(engine) {
    this.runner?.end();
    this.engine = engine;
    this.runner = this.make(engine, [this.directions[0], "finder"]);
    this.runner.prepare(this.directions[0]).catch(fail);
  }

  progress(part, bytes) {
    this.arrived[part] = bytes;
    const { runtime, finder, directions } = this.release;
    const { model, graph } = directions[this.directions[0]];
    const total = finder.bytes + model.bytes + (this.engine.kind === "wasm" ? 0 : graph.bytes + runtime.binary.bytes);
    const sum = Object.values(this.arrived).reduce((a, b) => a + b, 0);
    Object.assign(find(".loading"), { hidden: this.converted > 0 || sum >= total, value: Math.min(1, sum / total) });
  }

  // image: ImageData or a bitmap, which is used up unless it is to be framed. Returns { made, given, milliseconds }; null
  // where a sentence was said; or undefined where another engine was taken meanwhile, and the image is used up
  async convert(direction, image, options = {}) {
    this.busy++;
    try {
      const answer = await this.runner.convert(direction, image, options);
      if (!this.converted++) this.first();
      this.show(answer.milliseconds);
      return answer;
    } catch (problem) {
      if (problem.key === "ended") return image.width ? this.convert(direction, image, options) : undefined;
      fail(problem);
      return null;
    } finally {
      this.busy--;
    }
  }

  show(milliseconds) {
    const now = performance.now();
    if (now < (this.shown ?? 0) + 500) return; // nobody reads faster
    this.shown = now;
    find(".speed").textContent = text("took", { ms: Math.round(milliseconds) });
  }

  // After the first picture: what later ones and visits need, when the page has nothing else to do
  async first() {
    find(".loading").hidden = true;
    say("");
    const idle = async () => {
      do await new Promise((done) => (globalThis.requestIdleCallback ?? setTimeout)(done, { timeout: 2000 }));
      while (this.busy || document.hidden);
    };
    try {
      await idle();
      await navigator.serviceWorker?.register("sw.js").catch(() => {}); // on plain http: the page works, and not offline
      for (const direction of this.directions) for (const large of [false, true]) await this.runner.prepare(direction, large);
      const { directions, finder, runtime } = this.release;
      const files = [finder, runtime.binary, ...Object.values(directions).flatMap(({ model, graph, large }) => [model, graph, large])];
      await tidy(files.map((file) => file.name), base);
      document.documentElement.dataset.ready = "offline"; // all that is needed is here
      if (!this.measured && !remembered("engine-chosen")) {
        await idle();
        await this.choose();
      }
      document.documentElement.dataset.ready = "measured";
    } catch (problem) {
      console.warn(problem); // there is one way that works
    }
  }

  async choose() {
    const saving = navigator.connection?.saveData;
    const engines = this.engines.filter(({ kind }) => kind === "wasm" || !saving);
    if (engines.length > 1) {
      const { fastest, times } = await measure(engines, (engine) => this.make(engine), this.directions[0], this.release.image_size);
      this.measured = { for: this.key, fastest: name(fastest), times };
      remember("engine", this.measured);
      if (name(fastest) !== name(this.engine)) this.take(fastest);
    }
    this.list();
  }

  // The ways to compute, for the visitor to see and change
  list() {
    const choice = find("select.engine");
    choice.replaceChildren(...this.engines.map((engine) => {
      const time = this.measured?.times[name(engine)];
      const words = text(engine.kind === "wasm" ? "threads" : "webgpu", { count: engine.threads });
      return new Option(time ? `${words}: ${text("took", { ms: Math.round(time) })}` : words, name(engine));
    }));
    choice.value = name(this.engine);
  }

  choices() {
    this.list();
    find("select.engine").onchange = ({ target }) => {
      remember("engine-chosen", target.value);
      this.take(this.engines.find((engine) => name(engine) === target.value));
    };
    const { sizes, image_size: usual } = this.release;
    const options = (some) => some.map((size) => new Option(sides(size, size), size));
    find("select.live-size").replaceChildren(...options(sizes.filter((size) => size <= usual)));
    find("select.size").replaceChildren(new Option(text("automatic"), ""), ...options(sizes));
    find("select.size").value = remembered("size") || "";
    find("select.size").onchange = ({ target }) => {
      remember("size", Number(target.value));
      this.tabs[this.open]?.sized?.();
    };
  }

  // Called with the time of each picture of a tab that is not live, and its side
  slow(milliseconds, side) {
    const smaller = this.release.sizes.filter((size) => size < side);
    if (milliseconds < SLOW || !smaller.length || remembered("size")) return;
    const size = Math.max(smaller[0], ...smaller.filter((one) => milliseconds * (one / side) ** 2 < SLOW));
    find("select.size").value = size;
    remember("size", size);
    say("slow_device", { size: sides(size, size) });
  }

  show_tab(id) {
    this.tabs[this.open]?.left?.();
    if (this.open) say(""); // what was said of another tab
    this.open = id;
    for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== id;
    for (const tab of document.querySelectorAll("[role=tab]")) {
      tab.setAttribute("aria-selected", tab.dataset.tab === id);
      tab.tabIndex = tab.dataset.tab === id ? 0 : -1;
    }
    find("select.size").parentElement.hidden = id === "live"; // which has its own
  }
}

const start = async () => {
  let release;
  try {
    release = await (await fetch(new URL("release.json", base))).json();
    await read(release.languages);
  } catch (problem) {
    find(".status").textContent = "The page did not arrive whole. Load it again.";
    throw problem;
  }
  label(document);
  const app = new App(release, await offers());
  globalThis.app = app; // for who measures
  app.choices();
  const nav = find("nav");
  const ids = [...app.directions, ...(app.directions.includes("sketch_to_photo") ? ["draw"] : []), "live", "batch"];
  for (const id of ids) {
    const tab = Object.assign(document.createElement("button"), { type: "button", textContent: text(id) });
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", id);
    tab.dataset.tab = id;
    tab.onclick = () => app.show_tab(id);
    nav.append(tab);
    find(`#${id}`).setAttribute("aria-label", text(id));
  }
  nav.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const along = document.documentElement.dir === "rtl" ? -step : step;
    const next = { Home: ids[0], End: ids.at(-1) }[event.key] ?? (step && ids[(ids.indexOf(app.open) + along + ids.length) % ids.length]);
    if (!next) return;
    event.preventDefault(); // the page does not scroll
    app.show_tab(next);
    nav.querySelector(`[data-tab=${next}]`).focus();
  };
  for (const direction of app.directions) app.tabs[direction] = conversion(app, direction, find(`#${direction}`));
  if (ids.includes("draw")) app.tabs.draw = draw(app, find("#draw"));
  app.tabs.live = live(app, find("#live"));
  app.tabs.batch = batch(app, find("#batch"));
  find(".source").textContent = text("model_source", { source: release.source });
  const asked = location.hash.slice(1); // a link may open any of the tabs
  app.show_tab(ids.includes(asked) ? asked : ids[0]);
  const picture = await handed();
  if (picture) app.tabs[app.open].give?.(picture);
};

// A picture that the app's own page hands over: see web/device_link.js. It is kept for nobody else
const handed = async () => {
  const cache = await globalThis.caches?.open("handed").catch(() => null);
  const found = await cache?.match(new URL("handed", base));
  if (!found) return null;
  await cache.delete(new URL("handed", base));
  return new File([await found.blob()], decodeURIComponent(found.headers.get("name")));
};

start();
