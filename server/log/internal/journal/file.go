package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/bug"
	"github.com/proglog/proglog/server/log/internal/frame"
)

const (
	fileMagic = 0x314a4c50 // "PLJ1"
	// formatMajor changes when older readers must refuse the journal.
	formatMajor = 1
	// firstGroup is the position of a file's first group: block 0 is its header.
	firstGroup = vfs.BlockSize
)

// A file is a journal file. Its name is a slot that is used again and again; its
// number is given anew each time, and goes up by one from file to file.
type file struct {
	name   string
	slot   int
	f      vfs.File
	number uint64
	nonce  uint64 // random for each use, so that what an earlier use left is not believed
	synced uint64 // every group up to this one was synced when the header was written
	size   int64
}

func slotName(dir string, slot int) string { return fmt.Sprintf("%s/%04d.journal", dir, slot) }

// slotOf tells a journal file's slot from its name.
func slotOf(name string) (slot int, ok bool) {
	base, ok := strings.CutSuffix(name, ".journal")
	if !ok || len(base) != 4 {
		return 0, false
	}
	if n, err := fmt.Sscanf(base, "%04d", &slot); n != 1 || err != nil {
		return 0, false
	}
	return slot, true
}

// groupMode is how a file is opened to write groups to it: a write is durable
// when it returns.
func groupMode() vfs.Mode {
	if bug.On(bug.AckBeforeSync) {
		return vfs.Buffered
	}
	return vfs.Direct
}

// writeHeader makes the file number's, durably.
func (f *file) writeHeader(dirID [16]byte, number, nonce, synced uint64) error {
	b := vfs.AlignedBuffer(vfs.BlockSize)
	le := binary.LittleEndian
	le.PutUint32(b[0:], fileMagic)
	le.PutUint16(b[8:], formatMajor)
	le.PutUint64(b[16:], number)
	le.PutUint64(b[24:], nonce)
	copy(b[32:48], dirID[:])
	le.PutUint64(b[48:], uint64(f.size))
	le.PutUint64(b[56:], synced)
	le.PutUint32(b[4:], frame.Checksum(b[8:64]))
	if _, err := f.f.WriteAt(b, 0); err != nil {
		return fmt.Errorf("write the header of %s: %w", f.name, err)
	}
	f.number, f.nonce, f.synced = number, nonce, synced
	return nil
}

var errFileHeader = errors.New("journal file header does not match its checksum")

// readHeader learns number and nonce from block 0.
func (f *file) readHeader(dirID [16]byte) error {
	b := vfs.AlignedBuffer(vfs.BlockSize)
	if _, err := f.f.ReadAt(b, 0); errors.Is(err, io.EOF) {
		return errFileHeader // it was never finished
	} else if err != nil {
		return &readError{fmt.Errorf("read the header of %s: %w", f.name, err)}
	}
	le := binary.LittleEndian
	if le.Uint32(b) != fileMagic || le.Uint32(b[4:]) != frame.Checksum(b[8:64]) {
		return errFileHeader
	}
	if v := le.Uint16(b[8:]); v != formatMajor {
		return fmt.Errorf("%s has journal format %d, this program reads %d", f.name, v, formatMajor)
	}
	if [16]byte(b[32:48]) != dirID {
		return fmt.Errorf("%s belongs to another data directory", f.name)
	}
	f.number, f.nonce, f.synced = le.Uint64(b[16:]), le.Uint64(b[24:]), le.Uint64(b[56:])
	return nil
}

// preWrite fills a new file with zeros, synced: an overwrite needs no metadata
// and costs half of what growth does.
func preWrite(f vfs.File, size int64) error {
	zeros := vfs.AlignedBuffer(int(min(size, 1<<20)))
	for at := int64(0); at < size; {
		n := min(int64(len(zeros)), size-at)
		if _, err := f.WriteAt(zeros[:n], at); err != nil {
			return err
		}
		at += n
	}
	if err := f.Sync(); err != nil {
		return &syncError{err}
	}
	return nil
}
