package authbox

import (
	"os/exec"

	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// child is a process that the tests have started. It must be killed.
type child struct {
	cmd  *exec.Cmd
	log  rtctest.Log   // what it writes
	done chan struct{} // closed when it has ended
	err  error         // of Wait; read after done
}

// begin starts a process and does not wait for anything.
func begin(cmd *exec.Cmd) (*child, error) {
	c := &child{cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &c.log, &c.log
	dieWithUs(cmd)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // kill waits for it
		defer close(c.done)
		c.err = cmd.Wait()
	}()
	return c, nil
}

// kill ends it as a crash does.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // it may have ended
	<-c.done
}
