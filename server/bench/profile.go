package main

import (
	"errors"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
)

// profiles name the files that profiles go to; "" is none.
type profiles struct {
	cpu, memory string
}

// start begins to profile. stop writes the files.
func (p profiles) start() (stop func() error, err error) {
	if p.memory != "" {
		runtime.MemProfileRate = 4096
	}
	if p.cpu == "" {
		return p.writeMemory, nil
	}
	f, err := os.Create(p.cpu)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return errors.Join(f.Close(), p.writeMemory())
	}, nil
}

// writeMemory writes what was allocated since the start.
func (p profiles) writeMemory() error {
	if p.memory == "" {
		return nil
	}
	return writeFile(p.memory, func(w io.Writer) error { return pprof.Lookup("allocs").WriteTo(w, 0) })
}
