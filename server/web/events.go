package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	eventSpacing = 250 * time.Millisecond // between two updates of one viewer
	eventSpeed   = 2_000_000              // bytes per second that one viewer gets at most
	heartbeat    = 5 * time.Second        // the page calls a longer silence a lost connection
	writeTimeout = 3 * time.Second        // a viewer that takes longer is dropped
)

// streams counts the viewers and ends them.
type streams struct {
	max  int
	done chan struct{}

	mu     sync.Mutex
	open   int
	closed bool
	wg     sync.WaitGroup
}

// enter reports whether one more viewer may come in; leave must follow then.
func (s *streams) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.open >= s.max {
		return false
	}
	s.open++
	s.wg.Add(1)
	return true
}

func (s *streams) leave() {
	s.mu.Lock()
	s.open--
	s.mu.Unlock()
	s.wg.Done()
}

// Close ends the event streams and returns when they have ended; no new one
// begins. The rest of the handler still answers. http.Server.Shutdown waits
// for streams and does not end them: call Close before it. It may be called
// more than once.
func (b *Board) Close() error {
	b.streams.mu.Lock()
	if !b.streams.closed {
		b.streams.closed = true
		close(b.streams.done)
	}
	b.streams.mu.Unlock()
	b.streams.wg.Wait()
	return nil
}

// serveEvents sends the state and the media as they stand, and again whenever
// they have changed; "beat" in between, so that silence means something; "bye"
// when the server ends.
func (b *Board) serveEvents(w http.ResponseWriter, r *http.Request) {
	if !b.streams.enter() {
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many people are looking at this page, or the server is ending; /status.json still works",
			http.StatusServiceUnavailable)
		return
	}
	defer b.streams.leave()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	v := &viewer{board: b, w: w, rc: http.NewResponseController(w)}
	if err := v.serve(r); err != nil {
		b.opts.Logger.Debug("viewer of the status page dropped", "remote", r.RemoteAddr, "error", err)
	}
}

// viewer is one open stream; it lives on the goroutine of its request.
type viewer struct {
	board *Board
	w     http.ResponseWriter
	rc    *http.ResponseController
	sent  versions
	bytes int // of the last round
}

// serve returns nil when the viewer or the server has ended the stream, and an
// error when the viewer was too slow.
func (v *viewer) serve(r *http.Request) error {
	b := v.board
	v.sent = versions{^uint64(0), ^uint64(0)}
	beat := time.NewTimer(heartbeat)
	defer beat.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	ready := false // the pause since the last update is over
	for {
		now, changed := b.watch()
		if ready && now != v.sent {
			if err := v.update(now); err != nil {
				return ended(r, err)
			}
			beat.Reset(heartbeat)
			pause.Reset(max(eventSpacing, time.Duration(v.bytes)*time.Second/eventSpeed))
			ready = false
		}
		if !ready {
			changed = nil
		}
		select {
		case <-changed:
		case <-pause.C:
			ready = true
		case <-beat.C:
			if err := v.sign("beat"); err != nil {
				return ended(r, err)
			}
			beat.Reset(heartbeat)
		case <-r.Context().Done():
			return nil
		case <-b.streams.done:
			return ended(r, v.sign("bye"))
		}
	}
}

// sign sends an event that says only that we are there.
func (v *viewer) sign(event string) error {
	return v.send(event, map[string]int64{"at": time.Now().UnixMilli()})
}

// ended drops an error that only says that the viewer has gone.
func ended(r *http.Request, err error) error {
	if r.Context().Err() != nil {
		return nil
	}
	return err
}

func (v *viewer) update(now versions) error {
	b := v.board
	v.bytes = 0
	at := time.Now()
	if now.state != v.sent.state {
		b.mu.Lock()
		state := b.state(at)
		b.mu.Unlock()
		if err := v.send("state", state); err != nil {
			return err
		}
	}
	if now.media != v.sent.media {
		b.mu.Lock()
		list := b.media.list(at)
		b.mu.Unlock()
		if err := v.send("media", map[string]any{"at": at.UnixMilli(), "media": list}); err != nil {
			return err
		}
	}
	v.sent = now
	return nil
}

func (v *viewer) send(event string, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write event %q: %w", event, err)
	}
	if err := v.rc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("set write deadline: %w", err)
	}
	// JSON holds no bare line break, so one data line is enough.
	n, err := fmt.Fprintf(v.w, "event: %s\ndata: %s\n\n", event, body)
	if err != nil {
		return fmt.Errorf("write event %q: %w", event, err)
	}
	v.bytes += n
	if err := v.rc.Flush(); err != nil {
		return fmt.Errorf("flush event %q: %w", event, err)
	}
	return nil
}
