package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/proglog/proglog/server/internal/vfs"
	"github.com/proglog/proglog/server/log/internal/frame"
)

// The names in a data directory.
const (
	lockName     = "LOCK"
	identityName = "PROGLOG"
	journalDir   = "journal"
	segmentsDir  = "segments"
)

const (
	identityMagic = "proglog\n"
	identitySize  = 64
	// formatMajor is the format of the directory as a whole. A program refuses
	// one that it does not know.
	formatMajor = 1
)

// ErrNotDataDir reports a directory that is neither empty nor proglog's.
var ErrNotDataDir = errors.New("not a proglog data directory, and not empty")

// errIdentity reports an identity that is not as it was written.
var errIdentity = fmt.Errorf("the file %s is damaged", identityName)

// readIdentity returns the directory's id. The error is fs.ErrNotExist in an
// empty directory.
func readIdentity(fsys vfs.FS) (id [16]byte, err error) {
	b, err := readFile(fsys, identityName)
	if errors.Is(err, fs.ErrNotExist) {
		if err := onlyOurs(fsys); err != nil {
			return id, err
		}
		return id, fs.ErrNotExist
	}
	if err != nil {
		return id, err
	}
	le := binary.LittleEndian
	if len(b) != identitySize || string(b[:8]) != identityMagic || le.Uint32(b[8:]) != frame.Checksum(b[12:]) {
		return id, errIdentity
	}
	if v := le.Uint32(b[12:]); v != formatMajor {
		return id, fmt.Errorf("the data directory has format %d, this program reads %d", v, formatMajor)
	}
	return [16]byte(b[16:32]), nil
}

// onlyOurs says whether a directory without identity is empty, but for what an
// interrupted start leaves in it.
func onlyOurs(fsys vfs.FS) error {
	names, err := fsys.ReadDir(".")
	if err != nil {
		return err
	}
	harmless := []string{lockName, identityName + ".tmp", "lost+found"}
	for _, name := range names {
		if !slices.Contains(harmless, name) {
			return fmt.Errorf("%w: it holds %q", ErrNotDataDir, name)
		}
	}
	return nil
}

// writeIdentity makes an empty directory proglog's, as the first thing that is
// durable in it.
func writeIdentity(fsys vfs.FS, random func([]byte)) (id [16]byte, err error) {
	random(id[:])
	b := make([]byte, identitySize)
	copy(b, identityMagic)
	le := binary.LittleEndian
	le.PutUint32(b[12:], formatMajor)
	copy(b[16:32], id[:])
	le.PutUint32(b[8:], frame.Checksum(b[12:]))
	return id, replaceFile(fsys, identityName, func(vfs.Stamp) []byte { return b })
}

// lockHolder is what others are told of who has the directory.
func lockHolder() string {
	host, _ := os.Hostname()
	return fmt.Sprintf("process %d on %s since %s", os.Getpid(), host, time.Now().UTC().Format(time.RFC3339))
}

// readTable returns the checkpoint table, nil if the directory is so new that it
// has none.
func readTable(fsys vfs.FS, id [16]byte) (*table, error) {
	b, err := readFile(fsys, checkpointName)
	if errors.Is(err, fs.ErrNotExist) {
		names, err := fsys.ReadDir(segmentsDir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, name := range names {
			if strings.HasSuffix(name, ".seg") {
				return nil, fmt.Errorf("the file %s is missing, but there are segments", checkpointName)
			}
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return decodeTable(b, id)
}
