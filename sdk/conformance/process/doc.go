// Package process is what all programs that start the server have in common.
package process
