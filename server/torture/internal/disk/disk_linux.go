// Package disk makes file systems on loop devices, to cut their power, fill them
// up and have their sectors fail. It needs root.
package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// unmountLimit is how long a file system may be busy after the last process that
// used it is gone.
const unmountLimit = 10 * time.Second

// Check says why a file system of a kind (ext4, xfs, tmpfs) cannot be made here.
func Check(fs string) error {
	if os.Geteuid() != 0 {
		return errors.New("mounting a file system needs root")
	}
	known, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return err
	}
	if !strings.Contains(string(known), "\t"+fs+"\n") {
		return fmt.Errorf("the kernel does not know %s", fs)
	}
	if fs == "tmpfs" {
		return nil
	}
	for _, tool := range []string{"losetup", "mkfs." + fs} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is missing: install util-linux, e2fsprogs, xfsprogs", tool)
		}
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return fmt.Errorf("there are no loop devices: %w", err)
	}
	return nil
}

// Disk is a file system in a file.
type Disk struct {
	FS    string // its kind
	Image string // the file that holds it; empty: tmpfs
	Dir   string // where it is mounted
	size  int64
}

// Make makes a file system of so many bytes below a directory, and mounts it.
func Make(ctx context.Context, dir, fs string, size int64) (*Disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	d := &Disk{FS: fs, Dir: filepath.Join(dir, "mounted"), size: size}
	if fs != "tmpfs" {
		d.Image = filepath.Join(dir, "image")
		if err := Format(ctx, d.Image, fs, size); err != nil {
			return nil, err
		}
	}
	return d, d.Mount(ctx)
}

// Format makes an image with an empty file system.
func Format(ctx context.Context, image, fs string, size int64) error {
	file, err := os.Create(image)
	if err != nil {
		return err
	}
	err = errors.Join(file.Truncate(size), file.Close())
	if err != nil {
		return err
	}
	args := map[string][]string{
		"ext4": {"-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0"},
		"xfs":  {"-q", "-f"},
	}[fs]
	return command(ctx, "mkfs."+fs, append(args, image)...)
}

// Over returns a disk whose image is somewhere else; it is not mounted yet.
func Over(image, dir, fs string) *Disk { return &Disk{FS: fs, Image: image, Dir: dir} }

// Mount mounts the file system. The loop device goes with the unmounting, however
// that comes about.
func (d *Disk) Mount(ctx context.Context) error {
	if err := os.MkdirAll(d.Dir, 0o700); err != nil {
		return err
	}
	if d.FS == "tmpfs" {
		return mount("tmpfs", d.Dir, "tmpfs", fmt.Sprintf("size=%d", d.size))
	}
	said, err := exec.CommandContext(ctx, "losetup", "--find", "--show", d.Image).CombinedOutput()
	if err != nil {
		return fmt.Errorf("losetup: %w: %s", err, said)
	}
	device := strings.TrimSpace(string(said))
	options := ""
	if d.FS == "xfs" {
		options = "nouuid" // another trial may have made an image at the same moment
	}
	err = mount(device, d.Dir, d.FS, options)
	// While it is mounted this only marks the device to be freed at the end.
	return errors.Join(err, command(context.WithoutCancel(ctx), "losetup", "--detach", device))
}

func mount(device, dir, fs, options string) error {
	if err := unix.Mount(device, dir, fs, 0, options); err != nil {
		return fmt.Errorf("mount %s: %w", fs, err)
	}
	return nil
}

// Cut is a power cut: whatever the file system did not write by now it will never
// write. Until Replug every use of it fails.
func (d *Disk) Cut() error {
	dir, err := os.Open(d.Dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	// EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are one number, _IOR('X', 125, u32),
	// and so is the flag by which the log is not flushed either.
	const shutdown, noLogFlush = 0x8004587d, 2
	if err := unix.IoctlSetPointerInt(int(dir.Fd()), shutdown, noLogFlush); err != nil {
		return fmt.Errorf("shut %s down: %w", d.FS, err)
	}
	return nil
}

// Works says whether a file can still be made, synced and removed.
func (d *Disk) Works() error {
	name := filepath.Join(d.Dir, "works")
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = file.WriteString("it does")
	return errors.Join(err, file.Sync(), file.Close(), os.Remove(name))
}

// Replug unmounts the file system and mounts it again, as after a restart.
func (d *Disk) Replug(ctx context.Context) error {
	if err := d.Unmount(); err != nil {
		return err
	}
	return d.Mount(ctx)
}

// Unmount unmounts the file system. On one that is not mounted it does nothing.
func (d *Disk) Unmount() error {
	for deadline := time.Now().Add(unmountLimit); ; {
		err := unix.Unmount(d.Dir, 0)
		switch {
		case err == nil, errors.Is(err, unix.EINVAL):
			return nil // EINVAL: nothing is mounted there
		case !errors.Is(err, unix.EBUSY) || time.Now().After(deadline):
			return errors.Join(fmt.Errorf("unmount %s: %w", d.FS, err), ignoreInvalid(unix.Unmount(d.Dir, unix.MNT_DETACH)))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func ignoreInvalid(err error) error {
	if errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

func command(ctx context.Context, name string, args ...string) error {
	if said, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, said)
	}
	return nil
}
