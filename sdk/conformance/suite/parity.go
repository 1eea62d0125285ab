package suite

// row is a row of the parity table.
type row struct{ subject, feature string }
