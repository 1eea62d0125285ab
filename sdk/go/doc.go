// Package proglog is the client of proglog, an append-only commit log.
//
// A log is an ordered sequence of records with contiguous offsets from 0 on.
// Acknowledged means durable, and so does readable: what was once read or
// acknowledged at an offset is there, unchanged, until it is trimmed.
//
//   - [New] makes a [Client], which is safe for concurrent use.
//   - [Client.Produce] appends a record, [Client.ProduceBatch] several, all or
//     none, and a [Producer] a stream of them without waiting for each.
//   - [Client.Consume] reads one record, [Client.Records] all up to the tail, and
//     [Client.Follow] goes on from there, across lost connections and restarts
//     of the server, without a gap and without a repeat.
//   - [Client.Cursor] keeps a reader's place on the server.
//   - [Client.CreateLog], [Client.Logs] and their kin administer logs.
//
// # Failures
//
// An [*Error] says why a call failed: by its Reason, which the server gives, and
// by its Code. A write that failed says besides what became of it: its error is
// either [ErrNothingAppended] or [ErrOutcomeUnknown]. Before it fails the client has
// tried again, if the cause could pass: writes have an identity, by which the
// server knows one that comes twice. After the latter the records may be in the
// log: read it from the last known offset to see.
//
// # Resources
//
// A client holds one connection, and more of them only if the server wants no
// more streams on one. A connection that is silent for 15 s is asked for a sign
// of life, and given up 5 s later. A follower that waits holds no buffer. Records
// that were read belong to the caller.
package proglog
