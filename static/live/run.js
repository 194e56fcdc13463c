// A run's page in the admin: its time line and messages go on as long as the run does.

import { LiveFragment } from "./fragment.js";

const root = document.getElementById("run-live");

if (root && "goesOn" in root.dataset) {
  const fragment = new LiveFragment(root, {
    address: root.dataset.address,
    every: 2000,
    // What else the page says of the run is no longer true then; buttons, too.
    onState: (state) => state === "ended" && location.reload(),
  });
  window.addEventListener("pagehide", () => fragment.pause());
}
