package livekit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/matrixrtc-go/matrixrtc/media"
)

const (
	// While so many events wait for the reader, messages wait at the SFU.
	enough = 64
	// While so many events wait, the SFU is not even looked at.
	tooMany = 1024

	// resumeGrace is how long the SDK may try to resume before we begin anew.
	resumeGrace = 4 * time.Second
	// returnGrace is how long the others may take to come back as well before
	// they count as gone.
	returnGrace = 10 * time.Second

	rejoinTimeout  = 20 * time.Second
	firstRejoin    = 250 * time.Millisecond
	longestBackoff = 15 * time.Second
)

type joinResult struct {
	session *session
	err     error // final
}

// alarm is a timer that is mostly not set.
type alarm struct{ timer *time.Timer }

func (a *alarm) set(d time.Duration) {
	a.stop()
	a.timer = time.NewTimer(d)
}

func (a *alarm) stop() {
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
}

func (a *alarm) running() bool { return a.timer != nil }

// c is nil, on which one waits for ever, while the alarm is not set.
func (a *alarm) c() <-chan time.Time {
	if a.timer == nil {
		return nil
	}
	return a.timer.C
}

// run is the goroutine that owns the connection.
func (c *conn) run() {
	defer close(c.done)
	defer close(c.events)
	defer c.end(media.ErrClosed)
	for c.state != media.Disconnected || len(c.out) > 0 {
		var (
			events   chan<- media.Event
			head     media.Event
			messages = c.messages
		)
		if len(c.out) > 0 {
			events, head = c.events, c.out[0]
		}
		if len(c.out) >= enough {
			messages = nil
		}
		select {
		case <-c.closing:
			return
		case events <- head:
			c.out[0] = nil
			c.out = c.out[1:]
			if c.behind && len(c.out) < enough {
				c.look()
			}
		case m := <-messages:
			c.receive(m)
		case <-c.wake:
			c.look()
		case <-c.resuming.c():
			c.lost(fmt.Errorf("%w: the connection could not be resumed", ErrSFUUnreachable))
		case <-c.returning.c():
			c.returning.stop()
			c.look()
		case r := <-c.joined:
			if r.err != nil {
				c.finish(r.err)
				break
			}
			c.setSession(r.session)
			c.returning.set(returnGrace)
			c.setState(media.Connected, nil)
			c.look()
		}
	}
}

// end stops all work and waits for it.
func (c *conn) end(why error) {
	c.cancel(why)
	c.resuming.stop()
	c.returning.stop()
	c.mu.Lock()
	c.finished = true
	s := c.current
	c.mu.Unlock()
	if s != nil {
		c.setSession(nil)
		s.close()
	}
	for _, p := range c.peers {
		for _, t := range p.tracks {
			t.end()
		}
	}
	c.work.Wait()
}

// finish ends the connection for good, but for the events that are still to be
// read.
func (c *conn) finish(why error) {
	c.end(why)
	c.clear()
	c.setState(media.Disconnected, why)
}

// look reads back what the SDK knows and tells what is new.
func (c *conn) look() {
	c.mu.Lock()
	s := c.current
	c.mu.Unlock()
	if s == nil {
		return
	}
	resuming, ended := s.status()
	switch {
	case ended != nil:
		c.lost(ended)
	case resuming:
		if c.state == media.Connected {
			c.setState(media.Reconnecting, nil)
			c.resuming.set(resumeGrace)
		}
	default:
		c.resuming.stop()
		c.setState(media.Connected, nil)
		c.behind = len(c.out) >= tooMany
		if !c.behind {
			c.reconcile(s)
		}
	}
}

// lost gives the session up and begins at the authorization service again.
func (c *conn) lost(why error) {
	c.resuming.stop()
	c.mu.Lock()
	s := c.current
	c.mu.Unlock()
	c.setSession(nil)
	s.close()
	c.endTracks()
	if patience(why) == 0 {
		c.finish(why)
		return
	}
	c.log.Info("connection to the SFU lost, asking for a new token", "error", why)
	c.setState(media.Reconnecting, why)
	c.work.Go(c.rejoin) // ended by c.ctx; end waits for it
}

// rejoin tries until it has a session or a final answer.
func (c *conn) rejoin() {
	backoff := firstRejoin
	for failures := 0; ; failures++ {
		// Spread out: everybody in the call has lost the same SFU.
		if !sleep(c.ctx, backoff/2+rand.N(backoff)) {
			return
		}
		ctx, cancel := context.WithTimeout(c.ctx, rejoinTimeout)
		s, err := c.join(ctx)
		cancel()
		if c.ctx.Err() != nil {
			if s != nil {
				s.close()
			}
			return
		}
		if err == nil || (patience(err) >= 0 && failures >= patience(err)) {
			select {
			case c.joined <- joinResult{s, err}:
			case <-c.ctx.Done():
				if s != nil {
					s.close()
				}
			}
			return
		}
		c.log.Debug("cannot reconnect yet", "attempt", failures+1, "error", err)
		backoff = min(2*backoff, longestBackoff)
		var refused *RefusedError
		if errors.As(err, &refused) {
			backoff = max(backoff, refused.RetryAfter)
		}
	}
}

func (c *conn) setState(state media.State, why error) {
	if c.state != state {
		c.state = state
		c.emit(media.StateChanged{State: state, Err: why})
	}
}

func (c *conn) emit(e media.Event) { c.out = append(c.out, e) }
