package measure

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// usage is what the process, and the machine, had used up at a moment.
type usage struct {
	at      time.Time
	cpu     time.Duration // of this process, user and system
	mallocs uint64        // objects allocated by this process
	machine time.Duration // busy time of all processors; 0 if unknown
}

func usageNow() usage {
	u := usage{at: time.Now(), machine: busyTime()}
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err == nil {
		u.cpu = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u.mallocs = m.Mallocs
	return u
}

// tick is the unit of /proc/stat on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// busyTime adds up what all processors did beside being idle, time taken by a
// hypervisor included.
func busyTime() time.Duration {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	var user, nice, system, idle, wait, irq, soft, steal int64
	if _, err := fmt.Sscanf(string(line), "cpu %d %d %d %d %d %d %d %d", &user, &nice, &system, &idle, &wait, &irq, &soft, &steal); err != nil {
		return 0
	}
	return time.Duration(user+nice+system+irq+soft+steal) * tick
}

// A Watch measures how busy others keep the machine.
type Watch struct{ start usage }

// NewWatch starts to measure.
func NewWatch() Watch { return Watch{usageNow()} }

// Others returns the share of all processors that others have used since: other
// processes, the kernel's own threads, other guests of the same host.
func (w Watch) Others() float64 { return othersBetween(w.start, usageNow()) }

func othersBetween(a, b usage) float64 {
	all := b.at.Sub(a.at) * time.Duration(runtime.NumCPU())
	if all <= 0 {
		return 0
	}
	share := float64((b.machine-a.machine)-(b.cpu-a.cpu)) / float64(all)
	return min(max(share, 0), 1)
}
