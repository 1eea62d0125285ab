// The page: the last records of the default log and whatever comes, and a form. The
// SDK does the rest: it calls the server itself, which allows this page's origin.

import { Client } from "@proglog/sdk";

/** How many records the page shows. */
const SHOWN = 100;

const state = document.getElementById("state");
const records = document.getElementById("records");
const form = document.getElementById("form");
const value = document.getElementById("value");

const client = new Client(new URLSearchParams(location.search).get("server"), {
  // The server answers a read at once, also where there is no record yet.
  async fetch(url, init) {
    const response = await fetch(url, init);
    if (response.ok && String(url).endsWith("/ConsumeStream")) {
      state.textContent = "live";
    }
    return response;
  },
  // A read that loses its connection goes on by itself: as another try, which the trace sees.
  trace({ method }) {
    if (!method.endsWith("/ConsumeStream")) {
      return undefined;
    }
    return ({ error }) => {
      if (error !== undefined) {
        state.textContent = "reconnecting";
      }
    };
  },
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await client.produce(value.value);
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
  for await (const record of client.follow({ fromEnd: SHOWN, signal: leave.signal })) {
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
