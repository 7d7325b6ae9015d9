// How a drawing and its photo came to be, as a short film. Gradio runs this before draw.js.

const MOMENTS = 200; // that are kept; of more, every other one
const BETWEEN = 200; // milliseconds from one to the next
const LONGEST = 8; // seconds of the film, without its end
const END = 1.5; // seconds in which the last moment is shown

const pad = find(".pad");
const replay = find(".replay");
let moments = []; // drawing and photo side by side, as JPEG
let noted = 0; // when the last one was
let playing = false;

const spread = () => Object.assign(document.createElement("canvas"), { width: 2 * pad.width, height: pad.height });
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

replay.hidden = !FILM;
replay.onclick = async () => {
  if (playing) return;
  playing = true;
  say(words.recording);
  noted = 0;
  await note(); // the drawing as it is now
  const [film, story] = [spread(), [...moments]];
  const scene = film.getContext("2d");
  const rate = Math.max(10, story.length / LONGEST);
  let picture = await createImageBitmap(story[0]);
  let shown = 0;
  try {
    await keepFilm(film, "drawing", (seconds) => {
      scene.drawImage(picture, 0, 0); // every time: what does not change is not recorded
      const at = Math.min(Math.floor(seconds * rate), story.length - 1);
      if (at !== shown) createImageBitmap(story[at]).then((next) => { picture = next; });
      shown = at;
      return seconds < story.length / rate + END;
    });
  } finally {
    playing = false;
  }
};
