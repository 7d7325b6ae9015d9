// How a drawing and its photo came to be, as a short film or a GIF. Gradio runs this before draw.js.

const MOMENTS = 200; // that are kept; of more, every other one
const BETWEEN = 200; // milliseconds from one to the next
const LONGEST = 8; // seconds of the film, without its end
const END = 1.5; // seconds in which the last moment is shown
const MOST = 40; // moments in a GIF

const pad = find(".pad");
let moments = []; // drawing and photo side by side, as JPEG
let noted = 0; // when the last one was
let playing = false;

const spread = () => canvasOf(2 * pad.width, pad.height);
const moment = spread();

const note = async () => {
  if (performance.now() < noted + BETWEEN) return;
  noted = performance.now();
  const scene = moment.getContext("2d");
  scene.drawImage(pad, 0, 0);
  scene.drawImage(made, pad.width, 0, pad.width, pad.height);
  moments.push(await new Promise((done) => { moment.toBlob(done, "image/jpeg"); }));
  if (moments.length > MOMENTS) moments = moments.filter((_, at) => at % 2);
};
const forget = () => { moments = []; };

// Makes one replay at a time, of the drawing as it is now too
const alone = (make) => async () => {
  if (playing) return;
  playing = true;
  say(words.recording);
  try {
    noted = 0;
    await note();
    await make([...moments]);
  } catch (problem) {
    console.warn(problem);
    say(words.not_saved);
  } finally {
    playing = false;
  }
};
find(".replay").hidden = !FILM;
find(".replay").onclick = alone(async (story) => {
  const film = spread();
  const scene = film.getContext("2d");
  const rate = Math.max(10, story.length / LONGEST);
  let picture = await createImageBitmap(story[0]);
  let shown = 0;
  await keepFilm(film, "drawing", (seconds) => {
    scene.drawImage(picture, 0, 0); // every time: what does not change is not recorded
    const at = Math.min(Math.floor(seconds * rate), story.length - 1);
    if (at !== shown) createImageBitmap(story[at]).then((next) => { picture = next; });
    shown = at;
    return seconds < story.length / rate + END;
  });
});
// The server gets the moments below one another, in half their size
find(".replay-gif").onclick = alone(async (story) => {
  const every = Math.ceil(story.length / MOST);
  const chosen = story.filter((_, at) => (story.length - 1 - at) % every === 0);
  const strip = canvasOf(pad.width, chosen.length * (pad.height / 2));
  const scene = strip.getContext("2d");
  for (const [at, one] of chosen.entries()) {
    scene.drawImage(await createImageBitmap(one), 0, at * (pad.height / 2), pad.width, pad.height / 2);
  }
  keep(await formed(strip, "replay"), "drawing.gif");
});
