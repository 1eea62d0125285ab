package main

import "github.com/proglog/proglog/server/torture/internal/disk"

// private runs the program again where its mounts are its own; see disk.Private.
func private() (code int, ran bool, err error) { return disk.Private() }
