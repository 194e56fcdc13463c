// The picture on a run's page in the admin, live while the run goes.

import { RunSocket } from "../runs/socket.js";
import { LivePicture, keepReadable } from "./live_picture.js";

const root = document.getElementById("workflow-picture");

function follow({ socket: path, address }) {
  const picture = new LivePicture(root, address);
  let lastSeq = 0;
  const socket = new RunSocket(path, {
    lastSeq: () => lastSeq,
    onEvent(event) {
      lastSeq = event.seq;
      picture.hear(event);
    },
    onAnswer() {},
    onState() {},
  });
  socket.open();
}

if (root?.dataset.socket) follow(root.dataset);
else if (root) keepReadable(root);
