// The loop that is described first, run once for each message after that.
import { start } from './probe-loop.js';

let run;

onmessage = async ({ data }) => {
  try {
    if (run) run();
    else run = await start(data);
    postMessage({});
  } catch (error) {
    postMessage({ error: String(error) });
  }
};
