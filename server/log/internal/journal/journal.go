// Package journal makes groups of frames durable, of all logs together, in a
// few files of fixed size that are written once in advance and used in turn. A
// file is used again only when its owner says that all it holds is durable
// elsewhere. FORMAT.md, two directories up, draws the bytes.
package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/bug"
)

// Config says where the journal is and how large it gets.
type Config struct {
	FS        vfs.FS
	Dir       string
	ID        [16]byte // of the data directory
	FileBytes int64    // of each file
	Files     int      // at most
	Logger    *slog.Logger
	// Wanted is called, without a wait, when the journal needs its owner to Free
	// files before it can go on.
	Wanted func()
	// Nonce gives random numbers.
	Nonce func() uint64
	// Inline makes the next file only when it is needed, by the goroutine that
	// needs it, so that the order of file-system calls is always the same.
	Inline bool
}

// A Cut is a place between two groups: all before it is on one side.
type Cut struct {
	File     uint64 // number of the file that holds the next group, or will
	Position int64  // of the next group
	Seq      uint64 // of the next group
	Chain    uint32 // checksum of the group before
}

// Journal writes groups. Write, Seal, Cut and Live are called by one goroutine
// at a time; Free by any.
type Journal struct {
	cfg Config

	seq     uint64 // of the next group
	chain   uint32
	end     Cut    // what Open found
	freed   Cut    // what Free was told last, or Open; guarded by mu
	highest uint64 // number of a file that Open found
	sealed  bool   // the last group is an empty one, which proves the one before

	mu      sync.Mutex
	active  *file
	pos     int64     // of the next group
	synced  uint64    // the last group that is durable
	full    error     // why a checkpoint could not be written; cleared by Free
	changed sync.Cond // next, free, err or closed
	next    *file     // prepared to become active
	making  bool      // a goroutine prepares next
	live    []*file   // before active, oldest first
	free    []*file
	slots   map[int]bool // taken by files
	stuck   bool         // no file could be made; not tried again before a Free
	err     error
	closed  bool
	tasks   sync.WaitGroup
}

// ErrFull reports that every file holds groups that are still needed. Whoever
// made sure of Room never sees it.
var ErrFull = errors.New("the journal is full")

// Write makes the group durable. After an error nobody knows whether it is;
// every later call fails with the same error. There has to be Room.
func (j *Journal) Write(g *Group) error {
	active, pos, err := j.place(g.Size())
	if err != nil {
		return err
	}
	b, crc := g.seal(groupHeader{
		chain: j.chain, seq: j.seq, synced: j.synced,
		file: active.number, position: uint64(pos), nonce: active.nonce,
	})
	if _, err := active.f.WriteAt(b, pos); err != nil {
		return j.fail(fmt.Errorf("write group %d to the journal: %w", j.seq, err))
	}
	j.chain = crc
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sealed = g.Empty()
	j.pos += int64(len(b))
	j.synced = j.seq
	j.seq++
	if !j.cfg.Inline && j.pos > j.active.size/2 {
		j.startPreparing()
	}
	return nil
}

// place returns where a group goes: if it does not fit the active file, into the
// next, which becomes the active one.
func (j *Journal) place(size int64) (*file, int64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return nil, 0, j.err
	}
	if j.active == nil {
		return nil, 0, ErrFull
	}
	if j.pos+size <= j.active.size {
		return j.active, j.pos, nil
	}
	if size > j.active.size-firstGroup {
		return nil, 0, fmt.Errorf("a group of %d bytes is larger than a journal file", size)
	}
	j.startPreparing()
	if j.next == nil {
		return nil, 0, ErrFull
	}
	j.live = append(j.live, j.active)
	j.active, j.next = j.next, nil
	j.pos = firstGroup
	return j.active, j.pos, nil
}

// Room says whether a group of at most so many bytes, with its header and
// padding, can be written now. If not, it begins to make room.
func (j *Journal) Room(size int64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.roomLocked(size)
}

func (j *Journal) roomLocked(size int64) bool {
	if j.err != nil || j.closed {
		return true
	}
	if j.active == nil {
		return false
	}
	if j.pos+size <= j.active.size || j.next != nil {
		return true
	}
	j.startPreparing()
	return j.next != nil
}

// WaitRoom waits until there is Room. Meanwhile its owner has to be able to make
// a checkpoint and Free files. The error says why that cannot be.
func (j *Journal) WaitRoom(size int64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for !j.roomLocked(size) {
		if j.full != nil {
			return j.full
		}
		if !j.making {
			j.cfg.Wanted()
		}
		j.changed.Wait()
	}
	return nil
}

// Full says that no checkpoint can be written now, so that those who WaitRoom
// wait no longer, until Free.
func (j *Journal) Full(why error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.full = why
	j.changed.Broadcast()
}

// Seal writes an empty group, which proves that the one before was synced,
// unless that is proven already, and says so in the next file's header too, in
// case this file should be lost as a whole. So a quiet journal holds no group
// whose damage could be taken for a torn write.
func (j *Journal) Seal(g *Group) error {
	if j.sealed || !j.Room(vfs.BlockSize) {
		return nil
	}
	g.Reset()
	if err := j.Write(g); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.startPreparing()
	if j.next == nil && !j.making {
		j.cfg.Wanted() // what it frees will say so
	}
	j.prove()
	return j.err
}

// prove says in the next file's header, if there is one and it does not say so
// yet, that the last group is synced. The caller holds the lock.
func (j *Journal) prove() {
	if !j.sealed || j.next == nil || j.next.synced >= j.synced || j.err != nil {
		return
	}
	j.err = j.next.writeHeader(j.cfg.ID, j.next.number, j.next.nonce, j.synced)
}

// Cut returns the place behind the last group. Before Start that is in the file
// where the last group was found, from which the next one is looked for in all
// later files.
func (j *Journal) Cut() Cut {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.active == nil {
		return Cut{File: j.end.File, Position: j.end.Position, Seq: j.seq, Chain: j.chain}
	}
	return Cut{File: j.active.number, Position: j.pos, Seq: j.seq, Chain: j.chain}
}

// Active returns the name of the file that groups go to.
func (j *Journal) Active() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.active.name
}

// Live is how many bytes of the journal hold groups that are still needed.
func (j *Journal) Live() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := j.pos
	for _, f := range j.live {
		n += f.size
	}
	return n
}

// Pending is how many bytes of groups are not durable elsewhere: those behind the
// cut that was freed last. It is less than [Journal.Live], which counts whole files.
func (j *Journal) Pending() (n int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	count := func(f *file, to int64) {
		from := int64(firstGroup)
		if f.number == j.freed.File {
			from = max(from, j.freed.Position)
		}
		if f.number >= j.freed.File {
			n += max(0, to-from)
		}
	}
	for _, f := range j.live {
		if f.number == j.end.File {
			count(f, j.end.Position)
		} else {
			count(f, f.size)
		}
	}
	if j.active != nil {
		count(j.active, j.pos)
	}
	return n
}

// Free says that all before the cut is durable elsewhere and its files may be
// used again.
func (j *Journal) Free(cut Cut) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.freed = cut
	for len(j.live) > 0 && j.live[0].number < cut.File {
		j.free = append(j.free, j.live[0])
		j.live = j.live[1:]
	}
	j.stuck, j.full = false, nil
	if j.sealed {
		j.startPreparing() // its header is a proof
	}
	j.changed.Broadcast()
}

// Reusable returns the names of the files that nothing needs any more: what
// they hold may be overwritten at any moment.
func (j *Journal) Reusable() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var names []string
	for _, f := range j.free {
		names = append(names, f.name)
	}
	if j.next != nil {
		names = append(names, j.next.name)
	}
	return names
}

// Close waits for work in the background and closes the files.
func (j *Journal) Close() error {
	j.mu.Lock()
	j.closed = true
	j.changed.Broadcast()
	j.mu.Unlock()
	j.tasks.Wait()
	var errs []error
	for _, f := range j.files() {
		errs = append(errs, f.f.Close())
	}
	return errors.Join(errs...)
}

func (j *Journal) files() []*file {
	all := append(append([]*file{}, j.live...), j.free...)
	for _, f := range []*file{j.active, j.next} {
		if f != nil {
			all = append(all, f)
		}
	}
	return all
}

func (j *Journal) fail(err error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if bug.On(bug.AppendsGoOn) {
		return err
	}
	if j.err == nil {
		j.err = err
	}
	j.changed.Broadcast()
	return j.err
}
