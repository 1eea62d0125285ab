import { createConnectTransport } from "@connectrpc/connect-web";
import type { Settings } from "./options.js";
import { redirected } from "./translate.js";
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
    fetch: async (input, init) => {
      // A redirect is not followed: the token would go to whom it was not given for. The
      // library has fetch fail at one, which would look like a lost connection.
      const own = credentials === undefined ? {} : { credentials };
      const response = await (fetch ?? globalThis.fetch)(input, {
        ...init,
        ...own,
        redirect: "manual",
      });
      // What a browser shows of one has no status.
      if (response.type === "opaqueredirect") throw redirected();
      return response;
    },
  });
  // A browser says who it is by itself, and a server elsewhere would have to allow
  // another word on it.
  const inBrowser = "window" in globalThis || "WorkerGlobalScope" in globalThis;
  return {
    transport,
    streams: false,
    userAgent: inBrowser ? undefined : settings.userAgent,
    warn: (text) => console.warn(`proglog: ${text}`),
    close: () => {},
    endsCalls: false,
  };
}
