// What several views of the chat need.

import { element } from "../runs/elements.js";

const icons = new URL("./icons.svg", import.meta.url).href;

export const part = (name) => document.getElementById(name);

/** One of the pictures in icons.svg. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `${icons}#${name}`);
  svg.append(use);
  return svg;
}

/** A button that shows an icon alone; its label is read out and shown on hovering. */
export function iconButton(name, label, onClick) {
  const made = element("button", "quiet icon", icon(name));
  made.type = "button";
  made.ariaLabel = label;
  made.title = label;
  made.addEventListener("click", onClick);
  return made;
}

/** Copies a text and says so on the button for a moment. */
export async function copyText(button, text, texts) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copyByHand(text);
  }
  const before = button.querySelector("svg");
  before?.replaceWith(icon("check"));
  announce(texts.copied);
  setTimeout(() => button.querySelector("svg")?.replaceWith(icon("copy")), 1500);
}

/** Without a secure connection browsers have no clipboard for pages. */
function copyByHand(text) {
  const area = element("textarea", "visually-hidden");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

/** Tells screen readers, once. */
export function announce(text) {
  const region = part("announce");
  region.textContent = "";
  requestAnimationFrame(() => (region.textContent = text));
}

/** A moment as people near it say it: the time today, the date before. */
export function moment(text, language) {
  const date = new Date(text);
  const isToday = date.toDateString() === new Date().toDateString();
  return date.toLocaleString(language, isToday ? { timeStyle: "short" } : { dateStyle: "medium" });
}

/** An error in the reader's words where there are any, otherwise in the server's. */
export function faultText(error, texts) {
  if (error.status === undefined) throw error;
  const detail = Array.isArray(error.details) ? error.details.map((one) => one.message).join(" ") : "";
  return texts[`fault_${error.status}`] ?? (detail || error.message || texts.fault_0);
}

export const size = (bytes) => (bytes < 1024 * 1024 ? `${Math.max(1, Math.round(bytes / 1024))} KB` : `${(bytes / 1024 / 1024).toFixed(1)} MB`);
