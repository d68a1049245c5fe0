package authbox

import (
	"os/exec"
	"syscall"
)

// dieWithUs has a child end when this process does, however it does.
func dieWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
