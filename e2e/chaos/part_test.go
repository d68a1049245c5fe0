//go:build linux

package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// A part is a process of the system under test: this program again, told by an
// environment variable what it is. It reads orders as JSON lines from stdin,
// writes reports as JSON lines to stdout, and ends when stdin does.

// order is what a part is told to do; it answers each with a report of kind
// "done" when that is done.
type order struct {
	ID  int             `json:"id"`
	Do  string          `json:"do"`
	Arg json.RawMessage `json:"arg,omitempty"`
}

// report is what a part tells.
type report struct {
	Kind string `json:"kind"`

	// of "done"
	ID    int             `json:"id,omitempty"`
	Err   string          `json:"err,omitempty"` // also of "own", "connection" and "note"
	Value json.RawMessage `json:"value,omitempty"`

	// of what a participant sees
	State   string    `json:"state,omitempty"`   // "own" and "connection"
	Until   time.Time `json:"until,omitzero"`    // "own" and "refreshed"
	Members []string  `json:"members,omitempty"` // "view": all that are in
	Cause   string    `json:"cause,omitempty"`   // "view": what led to it
	From    string    `json:"from,omitempty"`    // "heard"
	Frames  int       `json:"frames,omitempty"`
	GapMS   int64     `json:"gap_ms,omitempty"` // "heard": the longest silence since the last report
}

// part is the end of it that the tests hold.
type part struct {
	name string
	cmd  *exec.Cmd
	logs *tail
	done chan struct{} // closed when it has ended and all reports are in

	mu      sync.Mutex
	stdin   io.WriteCloser
	ids     int
	waiting map[int]chan report
	ended   bool
}

// startPart starts a part at a host. Its reports, but for "done", go to tell,
// from one goroutine.
func startPart(w *wire, h *host, kind, name string, tell func(report)) (*part, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &part{name: name, cmd: w.command(h, self), logs: &tail{}, done: make(chan struct{}), waiting: map[int]chan report{}}
	p.cmd.Env = append(os.Environ(), envPart+"="+kind, "TMPDIR="+inMemory)
	p.cmd.Stderr = p.logs
	p.cmd.WaitDelay = 2 * time.Second
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go p.read(stdout, tell) // whoever ends the part waits for done
	return p, nil
}

// read takes in the reports until the part ends.
func (p *part) read(stdout io.Reader, tell func(report)) {
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r report
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			_, _ = p.logs.Write(append(lines.Bytes(), '\n'))
			continue
		}
		if r.Kind != "done" {
			if tell != nil {
				tell(r)
			}
			continue
		}
		p.mu.Lock()
		answer := p.waiting[r.ID]
		delete(p.waiting, r.ID)
		p.mu.Unlock()
		if answer != nil {
			answer <- r
		}
	}
	_ = p.cmd.Wait()
	p.mu.Lock()
	p.ended = true
	for _, answer := range p.waiting {
		close(answer)
	}
	clear(p.waiting)
	p.mu.Unlock()
	close(p.done)
}

var errEnded = errors.New("the process has ended")

// begin gives an order; what comes of it is read from the channel, which is
// closed if the part ends before.
func (p *part) begin(do string, arg any) (<-chan report, error) {
	raw, err := json.Marshal(arg)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return nil, fmt.Errorf("%s: %s: %w", p.name, do, errEnded)
	}
	p.ids++
	line, err := json.Marshal(order{ID: p.ids, Do: do, Arg: raw})
	if err != nil {
		return nil, err
	}
	answer := make(chan report, 1)
	p.waiting[p.ids] = answer
	if _, err := p.stdin.Write(append(line, '\n')); err != nil {
		delete(p.waiting, p.ids)
		return nil, fmt.Errorf("%s: %s: %w", p.name, do, err)
	}
	return answer, nil
}

// do gives an order and waits until it has been carried out. value, if not nil,
// takes what the part answers.
func (p *part) do(ctx context.Context, do string, arg, value any) error {
	answer, err := p.begin(do, arg)
	if err != nil {
		return err
	}
	select {
	case r, ok := <-answer:
		switch {
		case !ok:
			return fmt.Errorf("%s: %s: %w; its last words:\n%s", p.name, do, errEnded, p.logs)
		case r.Err != "":
			return fmt.Errorf("%s: %s: %s", p.name, do, r.Err)
		case value != nil:
			return json.Unmarshal(r.Value, value)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %s: %w; its last words:\n%s", p.name, do, context.Cause(ctx), p.logs)
	}
}

// kill ends the part as kill -9 does, and returns when it has ended.
func (p *part) kill() {
	select {
	case <-p.done:
		return
	default:
	}
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop ends the part as if we had ended, insists after a while, and returns when
// it has ended.
func (p *part) stop() {
	p.mu.Lock()
	_ = p.stdin.Close()
	p.mu.Unlock()
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	select {
	case <-p.done:
	case <-limit.C:
		p.kill()
	}
}

// runPart is the main function of a part.
func runPart(kind string) int {
	out := &reporter{enc: json.NewEncoder(os.Stdout)}
	serve, known := map[string]func(*reporter) handler{
		"homeserver": homeserverPart, "site": sitePart, "member": memberPart,
	}[kind]
	if !known {
		fmt.Fprintf(os.Stderr, "%s=%s: no such part\n", envPart, kind)
		return 2
	}
	h := serve(out)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var o order
		if err := json.Unmarshal(in.Bytes(), &o); err != nil {
			fmt.Fprintln(os.Stderr, "order:", err)
			return 2
		}
		wg.Go(func() {
			value, err := h.do(ctx, o.Do, o.Arg)
			out.done(o.ID, value, err)
		})
	}
	cancel()
	h.close()
	wg.Wait()
	return 0
}

// handler is a part from within. do may be called several times at once.
type handler interface {
	do(ctx context.Context, what string, arg json.RawMessage) (value any, err error)
	close()
}

// reporter writes reports, from any goroutine.
type reporter struct {
	mu  sync.Mutex
	enc *json.Encoder
}

func (o *reporter) tell(r report) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_ = o.enc.Encode(r) // nobody reads any more: then the end is near
}

func (o *reporter) done(id int, value any, err error) {
	r := report{Kind: "done", ID: id}
	if err != nil {
		r.Err = err.Error()
	} else if value != nil {
		r.Value, err = json.Marshal(value)
		if err != nil {
			r.Err = err.Error()
		}
	}
	o.tell(r)
}

// tail keeps the end of what a part writes to stderr.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(b []byte) (int, error) {
	const keep = 64 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if over := len(t.buf) - keep; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.buf))
}
