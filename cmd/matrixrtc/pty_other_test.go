//go:build !linux

package main

import (
	"os"
	"testing"
)

func terminal(t *testing.T) (keyboard, tty *os.File) {
	t.Skip("needs a terminal that a test can make: run the tests on Linux")
	return nil, nil
}
