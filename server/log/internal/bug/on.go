//go:build seededbugs

package bug

import "os"

// planted is the one bug of this process; none if it is empty.
var planted = Bug(os.Getenv("PROGLOG_BUG"))

// On says whether the bug is planted.
func On(b Bug) bool { return b == planted }
