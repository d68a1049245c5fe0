package devstack

import (
	"os/exec"
	"syscall"
)

// ownGroup puts the child into a process group of its own, out of reach of the
// terminal's Ctrl-C, and lets it die with us.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
