package authbox

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/livekit/protocol/logger"
	lksdk "github.com/livekit/server-sdk-go/v2"

	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// ticket is what a participant needs: the answer of the service.
type ticket struct {
	URL string `json:"url"`
	JWT string `json:"jwt"`
}

// beParticipant is what a child of the tests does: it joins by the ticket in its
// first line of input, tells what happens, and leaves on any other line. It ends
// with its input.
func beParticipant(in io.Reader, out io.Writer) int {
	lines := bufio.NewScanner(in)
	var by ticket
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &by) != nil {
		return 2
	}
	lksdk.SetLogger(logger.GetDiscardLogger())
	joined := func(p *lksdk.RemoteParticipant) { fmt.Fprintln(out, "sees", p.Identity()) }
	room, err := lksdk.ConnectToRoomWithToken(by.URL, by.JWT, &lksdk.RoomCallback{
		OnParticipantConnected: joined,
		OnDisconnected:         func() { fmt.Fprintln(out, "disconnected") },
	}, lksdk.WithLogger(logger.GetDiscardLogger()), lksdk.WithConnectTimeout(30*time.Second))
	if err != nil {
		fmt.Fprintln(out, "refused", strings.ReplaceAll(err.Error(), "\n", " "))
		return 0
	}
	fmt.Fprintln(out, "connected", room.LocalParticipant.Identity(), room.Name())
	for _, p := range room.GetRemoteParticipants() {
		joined(p)
	}
	if lines.Scan() {
		room.Disconnect()
		fmt.Fprintln(out, "left")
	}
	return 0
}

// participant is somebody with a ticket, as a process.
type participant struct {
	*child
	t  testing.TB
	in io.WriteCloser
}

// join joins by an answer of the service.
func join(t testing.TB, r *reply) *participant {
	t.Helper()
	r.granted(t)
	return joinBy(t, ticket{r.text("url"), r.text("jwt")})
}

func joinBy(t testing.TB, by ticket) *participant {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), envPart+"=participant")
	p := &participant{t: t}
	if p.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if p.child, err = begin(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	p.tell(string(encode(by)))
	return p
}

func (p *participant) tell(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

// await waits until the participant has said something that begins so.
func (p *participant) await(prefix string) string {
	p.t.Helper()
	var found string
	rtctest.Eventually(p.t, 2*patience, "a participant says "+prefix, func() (bool, string) {
		for line := range strings.Lines(p.log.String()) {
			if strings.HasPrefix(line, prefix) {
				found = strings.TrimSpace(line)
				return true, ""
			}
		}
		return false, p.log.String()
	})
	return found
}

// leave ends it the polite way.
func (p *participant) leave() {
	p.t.Helper()
	p.tell("leave")
	p.await("left")
}
