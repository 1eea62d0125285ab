package trial

// machineTrials are those that work with real disks and processes' limits.
func machineTrials() []Trial {
	return []Trial{
		{Name: "power-ext4", Says: "power cut of ext4 on a loop device under writers and tails", Run: Power("ext4")},
		{Name: "power-xfs", Says: "power cut of xfs on a loop device under writers and tails", Run: Power("xfs")},
		{Name: "full-tmpfs", Says: "a full tmpfs under writers and tails, and starts on it", Run: Full("tmpfs", false)},
		{Name: "full-ext4", Says: "a full ext4 under writers and tails, and starts on it", Run: Full("ext4", false)},
		{Name: "full-shipped", Says: "a full ext4 under a server with the default journal and segments", Run: FullAsShipped("ext4")},
		{Name: "full-sudden", Says: "all space of an ext4 gone in one moment, under writers and tails", Run: Full("ext4", true)},
		{Name: "eio-ext4", Says: "sectors of an ext4 that refuse to be written, under writers and tails", Run: Sectors("ext4")},
		{Name: "eio-xfs", Says: "sectors of an xfs that refuse to be written, under writers and tails", Run: Sectors("xfs")},
		{Name: "memory", Says: "more than a cgroup's memory is offered, under writers and tails", Run: Memory},
	}
}
