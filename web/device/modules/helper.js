// A thread of the crew besides the first: it is told { memory, module, index, count }, and then each task.

import { plan } from "./networks.js";
import { Thread } from "./thread.js";

let thread;

self.onmessage = ({ data }) => {
  if (data.module) {
    thread = new Thread(data.memory, data.module, data.index, data.count);
    postMessage("ready");
  } else {
    plan(thread, data).compute();
  }
};
