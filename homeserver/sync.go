package homeserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
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
	firstAnswer = 3 * time.Minute  // the first answer may be long in the making
	staleFor    = 5 * time.Second  // pollFor while the state of a room has yet to be read
	firstRetry  = time.Second      // doubled with every try in vain
	lastRetry   = 30 * time.Second
	// emptyPause keeps a homeserver that answers at once, with nothing, from
	// being asked in a tight loop.
	emptyPause = 200 * time.Millisecond
)

// Sync yields what happens in the joined rooms until ctx ends or the loop is
// left.
//
// The first answer gives a batch with Complete for every joined room; a room
// that is joined later, or of whose events the homeserver left some out
// (a limited timeline), gives one whenever its state has been read. After the
// batches of each answer comes the zero Batch. In every batch the m.room.member
// event of a sender stands before that sender's first membership.
//
// An element with an error is a note: *Outage when contact is lost, after which
// Sync tries again with waits of 1 s doubled up to 30 s, or of what the
// homeserver asks for; *RoomError when part of a room's answer could not be
// used. An error that wraps ErrUnauthorized is the last element. When ctx ends,
// the sequence ends without an error.
//
// Batches are built in the goroutine that ranges over the sequence, and the
// next request is made when the last batch has been taken.
func (c *Client) Sync(ctx context.Context, from string, have []matrixrtc.RoomID) iter.Seq2[matrixrtc.Batch, error] {
	return func(yield func(matrixrtc.Batch, error) bool) {
		s := &syncer{c: c, known: map[matrixrtc.RoomID]*syncRoom{}, yield: yield}
		for ctx.Err() == nil && s.step(ctx) {
		}
	}
}

// syncer is one run of Sync. It belongs to the goroutine that ranges over it.
type syncer struct {
	c     *Client
	yield func(matrixrtc.Batch, error) bool
	since string // "": the next answer is the first
	known map[matrixrtc.RoomID]*syncRoom

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
	s.down, s.retry = false, 0
	if err := s.deliver(ctx, body); err != nil {
		if !errors.Is(err, errStop) && ctx.Err() == nil {
			s.yield(matrixrtc.Batch{}, err)
		}
		return false
	}
	empty := len(body.Rooms.Join)+len(body.Rooms.Leave) == 0
	s.since = body.NextBatch
	if empty && hold > 0 && time.Since(began) < emptyPause {
		return sleep(ctx, emptyPause)
	}
	return true
}

// hold is for how long the homeserver may hold the next request.
func (s *syncer) hold() time.Duration {
	if s.since == "" || s.down {
		return 0
	}
	for _, r := range s.known {
		if r.stale {
			return staleFor
		}
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
	if offer.stateAfter != "" {
		query.Set(offer.stateAfter, "true")
	}
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
		s.c.log.WarnContext(ctx, "the homeserver refuses to go on from where we are, starting over", "error", err)
		s.since = ""
	}
	s.c.forgetOffer()
	s.retry = min(max(2*s.retry, firstRetry), lastRetry)
	wait := s.retry
	if limited := (*RateLimitError)(nil); errors.As(err, &limited) && limited.After > 0 {
		wait = limited.After
	}
	s.c.log.DebugContext(ctx, "sync failed", "error", err, "retry", wait)
	if !s.down {
		s.down = true
		if !s.yield(matrixrtc.Batch{}, &Outage{Retry: time.Now().Add(wait), After: wait, Err: err}) {
			return false
		}
	}
	return sleep(ctx, wait)
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
	if first { // not the first of all: rooms left while we could not go on
		for room := range s.known {
			if _, ok := body.Rooms.Join[room]; !ok {
				gone = append(gone, room)
			}
		}
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
		if r := s.known[room]; r.stale {
			if err := s.refresh(ctx, room, r); err != nil {
				return err
			}
		}
	}
	return s.emit(matrixrtc.Batch{}, nil)
}
