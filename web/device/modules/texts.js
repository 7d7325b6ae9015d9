// Sentences in the visitor's language. What a language lacks is said in English.

let words = {};

export const read = async (languages) => {
  const fetched = async (language) => (await fetch(new URL(`../texts/${language}.json`, import.meta.url))).json();
  const wanted = (navigator.languages ?? [navigator.language]).map((name) => name.split("-")[0]);
  const language = wanted.find((name) => languages.includes(name)) ?? "en";
  words = await fetched("en");
  if (language !== "en") Object.assign(words, await fetched(language));
  document.documentElement.lang = language;
  document.documentElement.dir = words.dir ?? "ltr";
};

// {name} in a sentence is replaced by values.name
export const text = (key, values = {}) => (words[key] ?? key).replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);

// A size in pixels, which is read from left to right in every language
export const sides = (width, height) => `\u2066${width} × ${height}\u2069`;

export const has = (key) => key in words;

export const label = (element) => {
  for (const part of element.querySelectorAll("[data-text]")) part.textContent = text(part.dataset.text);
  for (const part of element.querySelectorAll("[data-label]")) part.setAttribute("aria-label", text(part.dataset.label));
};
