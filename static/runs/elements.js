// Small things that all views of a run need. Text only ever becomes text: nothing here parses HTML.

/** An element with a class and children; strings become text. */
export function element(tag, className = "", ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

export function button(text, className, onClick) {
  const made = element("button", className, text);
  made.type = "button";
  made.addEventListener("click", onClick);
  return made;
}

/** A text with `{name}` replaced by what `values` have for it. */
export function filled(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** A value as people read it: text as it is, anything else as indented JSON. */
export function shown(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

export function seconds(duration) {
  return duration === null || duration === undefined ? "" : `${Number(duration).toFixed(2)} s`;
}
