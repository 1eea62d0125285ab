// Package suite holds every SDK to the same behaviour: it reads cases from
// ../cases, drives the adapters in ../adapters by their standard input and output,
// and puts the real server behind a proxy that breaks connections.
//
// A case is data: a name, why it matters, and steps. See ../README.md.
package suite
