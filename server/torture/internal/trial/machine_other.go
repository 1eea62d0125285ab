//go:build !linux

package trial

// machineTrials are those that work with real disks and processes' limits.
func machineTrials() []Trial { return nil }
