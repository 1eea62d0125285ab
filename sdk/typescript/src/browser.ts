/**
 * The client of proglog for browsers, and for whatever else has the Fetch API:
 * everything but streams of requests, instead of which a producer sends one batch at a
 * time.
 *
 * @module
 */
import { Client as CommonClient } from "./client.js";
import { fetchConnection, type FetchOptions } from "./fetch-connection.js";
import { type CommonOptions, parseBase, parseSettings } from "./options.js";

export * from "./common.js";

/** The options of a client over the Fetch API. */
export interface ClientOptions extends CommonOptions, FetchOptions {}

/** Speaks to one server over the Fetch API. */
export class Client extends CommonClient {
  /**
   * Makes a client of the server at an address, such as "http://127.0.0.1:8400". Nothing is
   * sent before the first call. It throws a TypeError or a RangeError if the address or an
   * option makes no sense.
   */
  constructor(address: string, options: ClientOptions = {}) {
    const base = parseBase(address);
    const settings = parseSettings(base, options);
    super(fetchConnection(base, settings, options), settings);
  }
}
