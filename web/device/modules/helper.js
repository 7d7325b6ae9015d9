// A thread of the crew besides the first: it is told { memory, module, index, count }, and then the networks, and then tasks.

import { plan } from "./networks.js";
import { Thread } from "./thread.js";

let thread;
const networks = []; // by their numbers

self.onmessage = ({ data }) => {
  if (data.module) {
    thread = new Thread(data.memory, data.module, data.index, data.count);
    postMessage("ready");
  } else if (data.network) {
    networks[data.network.number] = data.network;
  } else {
    plan(thread, networks[data.number], data).compute();
  }
};
