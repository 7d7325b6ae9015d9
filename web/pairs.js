// What was made of many pictures: each original beside its result, and the name below. A click on a result saves it.
// The value is [{name, given, made}], with the files' places on the server.

const address = (path) => `${window.gradio_config?.root ?? location.origin}/gradio_api/file=${encodeURI(path)}`;
const image = (path, alt) => Object.assign(new Image(), { src: address(path), alt, loading: "lazy" });

const show = () => {
  find(".pairs").replaceChildren(...(props.value ?? []).map(({ name, given, made }) => {
    const save = Object.assign(document.createElement("a"), { href: address(made), download: name.split("/").pop() });
    save.append(image(made, words.save_one.replace("{name}", name)));
    const pair = document.createElement("figure");
    pair.append(image(given, ""), save, Object.assign(document.createElement("figcaption"), { textContent: name }));
    return pair;
  }));
};
watch("value", show);
show();

// What is coming has its room from the click on, so that nothing moves when it comes
const panel = element.closest("[role=tabpanel]");
panel.addEventListener("click", ({ target }) => {
  if (!target.closest("button.primary")) return;
  const columns = getComputedStyle(find(".pairs")).gridTemplateColumns.split(" ").map(parseFloat);
  const rows = Math.ceil(panel.querySelectorAll(".files tr").length / columns.length);
  find(".pairs").style.minHeight = `${Math.min(rows * (columns[0] / 2 + 36), 0.7 * innerHeight)}px`;
});
