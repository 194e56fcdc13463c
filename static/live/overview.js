// The live part of the admin's first page, and the button that holds it.

import { LiveFragment } from "./fragment.js";

const root = document.getElementById("live");
const state = document.getElementById("live-state");
const pause = document.getElementById("live-pause");

if (state) {
  const fragment = new LiveFragment(root, {
    address: root.dataset.address,
    every: 4000,
    onState(name) {
      state.dataset.state = name;
      state.textContent = state.dataset[name];
    },
  });
  pause.addEventListener("click", () => {
    const isPaused = pause.getAttribute("aria-pressed") !== "true";
    pause.setAttribute("aria-pressed", String(isPaused));
    if (isPaused) fragment.pause();
    else fragment.resume();
  });
}
