package homeserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Waits of Sync.
const (
	pollFor     = 30 * time.Second // how long the homeserver may hold a /sync
	pollSlack   = 30 * time.Second // how much longer we wait for its answer
	oddHold     = 200 * time.Millisecond
	firstAnswer = 3 * time.Minute // the first answer may be long in the making
	staleFor    = 5 * time.Second // pollFor while something has yet to be read besides
	firstRetry  = time.Second     // doubled with every try in vain
	lastRetry   = 30 * time.Second
	// emptyPause keeps a homeserver that answers at once, with nothing, from
	// being asked in a tight loop.
	emptyPause = 200 * time.Millisecond
)

// Sync yields what happens in the joined rooms until ctx ends or the loop is
// left.
//
// The first answer gives a batch with Complete for every joined room, and a room
// that is joined later gives one when its state has been read. So does a room
// of whose events the homeserver left some out (a limited timeline): those are
// read again first, up to a bound, and delivered. After the batches of each
// answer comes a Batch without a room, whose Position stands for all before it.
// In every batch the m.room.member event of a sender stands before that sender's
// first membership.
//
// With such a Position in from, Sync goes on there, if it is one of this login,
// for the rooms in have: those that the caller holds as they were then, with the
// users whose m.room.member it was given. All other joined rooms come Complete, and those in have that are no longer joined
// with Left (docs/protocol.md R-SYNC-1 to R-SYNC-6). A Position that the
// homeserver refuses counts as "".
//
// An element with an error is a note: *Outage when contact is lost, after which
// Sync tries again with waits of 1 s doubled up to 30 s, or of what the
// homeserver asks for, and at once when Send has succeeded; *RoomError when part
// of a room's answer could not be used; ErrMissed when not all that happened
// could be told. An error that wraps ErrUnauthorized is the last element. When
// ctx ends, the sequence ends without an error.
//
// Batches are built in the goroutine that ranges over the sequence, and the
// next request is made when the last batch has been taken.
func (c *Client) Sync(ctx context.Context, from string, have map[matrixrtc.RoomID][]matrixrtc.UserID) iter.Seq2[matrixrtc.Batch, error] {
	return func(yield func(matrixrtc.Batch, error) bool) {
		s := &syncer{c: c, known: map[matrixrtc.RoomID]*syncRoom{}, yield: yield}
		s.resume(from, have)
		for ctx.Err() == nil && s.step(ctx) {
		}
	}
}

// syncer is one run of Sync. It belongs to the goroutine that ranges over it.
type syncer struct {
	c     *Client
	yield func(matrixrtc.Batch, error) bool
	since string    // "": the next answer is the first
	stood time.Time // when since came; zero: nothing was told yet
	known map[matrixrtc.RoomID]*syncRoom
	// census: which rooms are joined has yet to be compared with known.
	census bool

	begun bool          // there was an answer
	down  bool          // contact is lost
	retry time.Duration // the last wait
}

// syncBody is what we read of an answer to /sync. Rooms are decoded one by one,
// so that one that is garbage does not cost the others.
type syncBody struct {
	NextBatch string `json:"next_batch"`
	Rooms     struct {
		Join  map[matrixrtc.RoomID]json.RawMessage `json:"join"`
		Leave map[matrixrtc.RoomID]json.RawMessage `json:"leave"`
	} `json:"rooms"`
}

// step makes one request and delivers its answer; false ends the sequence.
func (s *syncer) step(ctx context.Context) bool {
	began, hold := time.Now(), s.hold()
	body, err := s.poll(ctx, hold)
	if ctx.Err() != nil {
		return false
	}
	if err != nil {
		return s.failed(ctx, err)
	}
	s.begun, s.down, s.retry = true, false, 0
	if err := s.deliver(ctx, body); err != nil {
		if !errors.Is(err, errStop) && ctx.Err() == nil {
			s.yield(matrixrtc.Batch{}, err)
		}
		return false
	}
	empty := len(body.Rooms.Join)+len(body.Rooms.Leave) == 0
	if empty && hold > 0 && time.Since(began) < emptyPause {
		return sleep(ctx, emptyPause)
	}
	return true
}

// hold is for how long the homeserver may hold the next request.
func (s *syncer) hold() time.Duration {
	if s.since == "" || s.down || !s.begun {
		return 0 // whoever begins wants to know where things stand
	}
	for _, r := range s.known {
		if r.stale || r.gap {
			return staleFor
		}
	}
	if s.census {
		return staleFor
	}
	return pollFor
}

// poll makes one /sync.
func (s *syncer) poll(ctx context.Context, hold time.Duration) (*syncBody, error) {
	offer, err := s.c.offered(ctx)
	if err != nil {
		return nil, err
	}
	query := url.Values{
		"filter":       {syncFilter()},
		"timeout":      {strconv.FormatInt(hold.Milliseconds(), 10)},
		"set_presence": {"offline"}, // being in a call is not being at the keyboard
	}
	timeout := firstAnswer
	if s.since != "" {
		query.Set("since", s.since)
		timeout = hold + pollSlack
	}
	if hold == 0 {
		// Synapse answers what it was asked in the last two minutes as it did then:
		// a program that is started twice would see the room of the first time. So
		// an answer that is wanted at once has an odd timeout, and a short one: only
		// the very first answer comes at once whatever the timeout.
		query.Set("timeout", strconv.FormatInt(rand.N(oddHold).Milliseconds(), 10))
	}
	if offer.stateAfter == "" {
		// Synapse has it and does not say so. One that does not have it passes over
		// the parameter: the answer tells.
		offer.stateAfter = "org.matrix.msc4222.use_state_after"
	}
	query.Set(offer.stateAfter, "true")
	var body syncBody
	_, err = s.c.do(ctx, request{op: "sync", method: http.MethodGet, path: []any{"v3", "sync"}, query: query, out: &body,
		limit: syncAnswer, timeout: timeout, impatient: true})
	if err == nil && body.NextBatch == "" {
		err = fmt.Errorf("sync: %w: it has no next_batch", ErrBadAnswer)
	}
	return &body, err
}

// failed notes that contact is lost and waits; false ends the sequence.
func (s *syncer) failed(ctx context.Context, err error) bool {
	if errors.Is(err, ErrUnauthorized) {
		s.yield(matrixrtc.Batch{}, err)
		return false
	}
	if ae := (*AnswerError)(nil); errors.As(err, &ae) && ae.Status == http.StatusBadRequest && s.since != "" {
		// The homeserver does not know our place in its stream any more: begin
		// anew, with complete batches.
		s.since = ""
		err := fmt.Errorf("%w: the homeserver refuses to go on from where we were, starting over: %w", ErrMissed, err)
		s.c.log.WarnContext(ctx, "sync", "error", err)
		return s.yield(matrixrtc.Batch{}, err)
	}
	s.c.forgetOffer()
	s.retry = min(max(2*s.retry, firstRetry), lastRetry)
	wait := s.retry
	contact := s.c.contact
	if limited := (*RateLimitError)(nil); errors.As(err, &limited) && limited.After > 0 {
		wait, contact = limited.After, nil
	}
	select {
	case <-s.c.contact: // of before
	default:
	}
	s.c.log.DebugContext(ctx, "sync failed", "error", err, "retry", wait)
	if !s.down {
		s.down = true
		if !s.yield(matrixrtc.Batch{}, &Outage{Retry: time.Now().Add(wait), After: wait, Err: err}) {
			return false
		}
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-contact: // an event could be sent: contact is back
	case <-ctx.Done():
		return false
	}
	return true
}

// errStop says that the loop over the sequence was left.
var errStop = errors.New("stop")

// emit yields one element.
func (s *syncer) emit(b matrixrtc.Batch, err error) error {
	if !s.yield(b, err) {
		return errStop
	}
	return nil
}

// note yields an error about one room.
func (s *syncer) note(room matrixrtc.RoomID, err error) error {
	return s.emit(matrixrtc.Batch{}, &RoomError{Room: room, Err: err})
}

// deliver yields the batches of one answer. Its error ends the sequence.
func (s *syncer) deliver(ctx context.Context, body *syncBody) error {
	first := s.since == ""
	for _, room := range slices.Sorted(maps.Keys(body.Rooms.Join)) {
		if err := s.joined(ctx, room, body.Rooms.Join[room], first); err != nil {
			return err
		}
	}
	gone := slices.Sorted(maps.Keys(body.Rooms.Leave))
	switch {
	case first: // not the first of all: rooms left while we could not go on
		for room := range s.known {
			if _, ok := body.Rooms.Join[room]; !ok {
				gone = append(gone, room)
			}
		}
		s.census = false
	case s.census:
		more, err := s.count(ctx, body)
		if err != nil {
			return err
		}
		gone = append(gone, more...)
	}
	for _, room := range gone {
		if s.known[room] == nil {
			continue
		}
		delete(s.known, room)
		s.c.members.forget(room)
		events, _ := parseAll(room, readRoom(body.Rooms.Leave[room]).Timeline.Events, time.Now())
		if err := s.emit(matrixrtc.Batch{Room: room, Left: true, Events: events}, nil); err != nil {
			return err
		}
	}
	for _, room := range slices.Sorted(maps.Keys(s.known)) {
		if r := s.known[room]; r.stale || r.gap {
			if err := s.refresh(ctx, room, r); err != nil {
				return err
			}
		}
	}
	s.since, s.stood = body.NextBatch, time.Now()
	return s.emit(matrixrtc.Batch{Position: s.position()}, nil)
}
