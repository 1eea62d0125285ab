import { createConnectTransport } from "@connectrpc/connect-web";
import type { Settings } from "./options.js";
import type { Connection } from "./wire.js";

/** What a client over the Fetch API can be told. */
export interface FetchOptions {
  /** Is called instead of the global fetch. */
  fetch?: typeof globalThis.fetch | undefined;
  /** Whether cookies and the like go along; see the Fetch API. */
  credentials?: "include" | "omit" | "same-origin" | undefined;
}

/**
 * Makes a connection over the Fetch API. The platform holds the connections.
 *
 * @internal
 */
export function fetchConnection(base: URL, settings: Settings, options: FetchOptions): Connection {
  const { credentials, fetch } = options;
  const transport = createConnectTransport({
    baseUrl: base.href.replace(/\/$/, ""),
    useBinaryFormat: true,
    fetch: (input, init) =>
      (fetch ?? globalThis.fetch)(
        input,
        credentials === undefined ? init : { ...init, credentials },
      ),
  });
  // A browser says who it is by itself, and a server elsewhere would have to allow
  // another word on it.
  const inBrowser = "window" in globalThis || "WorkerGlobalScope" in globalThis;
  return {
    transport,
    streams: false,
    userAgent: inBrowser ? undefined : settings.userAgent,
    close: () => {},
  };
}
