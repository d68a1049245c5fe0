//go:build unix && !linux

package devstack

import (
	"os/exec"
	"syscall"
)

// ownGroup puts the child into a process group of its own, out of reach of the
// terminal's Ctrl-C. These systems cannot let it die with us: a child whose
// parent was killed stays.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
