/** The version of this SDK, which it tells the server. */
export const VERSION = "0.1.0";
