// The page: the last records of the default log and whatever comes, and a form.

import { follow, produce } from "./log.js";

/** How many records the page shows. */
const SHOWN = 100;

const state = document.getElementById("state");
const records = document.getElementById("records");
const form = document.getElementById("form");
const value = document.getElementById("value");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await produce(value.value);
    form.reset();
  } catch (error) {
    state.textContent = `not produced: ${error.message}`;
  }
});

const leave = new AbortController();
addEventListener("pagehide", () => leave.abort());
addEventListener("pageshow", (event) => event.persisted && location.reload());

const text = new TextDecoder();
try {
  const options = { last: SHOWN, signal: leave.signal, onState: (now) => (state.textContent = now) };
  for await (const record of follow(options)) {
    const item = document.createElement("li");
    item.textContent = `${record.offset}: ${text.decode(record.value)}`;
    records.append(item);
    if (records.childElementCount > SHOWN) {
      records.firstElementChild.remove();
    }
  }
  state.textContent = "the log has ended";
} catch (error) {
  if (!leave.signal.aborted) {
    state.textContent = `stopped: ${error.message}`;
  }
}
