package client

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// How often is saved. What has happened since the last time is told again by
// the homeserver.
const (
	saveEvery  = 5 * time.Second
	savePlace  = 10 * time.Minute // where only the position has changed
	saveAgain  = time.Minute      // after an error
	saveShare  = 20               // of the time at most one part in this many goes into saving
	saveAtLast = 5 * time.Second  // how long Close waits for the last one
)

// saves keeps the Client's rooms and the position that they stand for. Between
// the first batch of an answer and its last the rooms stand for no position:
// turn is then with the sync, else with whoever saves.
type saves struct {
	store Store
	turn  chan struct{} // holds one: whose turn it is
	due   chan struct{} // holds one: something has changed
	one   sync.Mutex    // one save at a time

	// What follows belongs to whose turn it is.
	position string // of the last answer that was told in full, "" if none
	mid      bool   // in the middle of an answer, or ended there
	changed  bool   // a room has changed since the last save

	// And this to the save.
	saved  string // the position of the last save
	at     time.Time
	pause  time.Duration
	failed bool
}

func newSaves(store Store) *saves {
	return &saves{store: store, turn: make(chan struct{}, 1), due: make(chan struct{}, 1), pause: saveEvery}
}

// recall reads what an earlier process has saved, and makes its rooms again.
func (c *Client) recall() (from string, have map[matrixrtc.RoomID][]matrixrtc.UserID) {
	if c.opts.Store == nil {
		return "", nil
	}
	text, err := c.opts.Store.Load(c.ctx)
	if err == nil && len(text) == 0 {
		return "", nil
	}
	var doc *document
	if err == nil {
		user, device := c.hs.Self()
		doc, err = decodeDocument(text, user, device)
	}
	if err != nil {
		c.log.Warn("what was kept of the rooms cannot be used, asking the homeserver for everything", "err", err)
		return "", nil
	}
	rooms := make(map[matrixrtc.RoomID]*entry, len(doc.Rooms))
	have = make(map[matrixrtc.RoomID][]matrixrtc.UserID, len(doc.Rooms))
	for _, text := range doc.Rooms {
		var s matrixrtc.Snapshot
		err := json.Unmarshal(text, &s)
		var fold *matrixrtc.Room
		if err == nil {
			fold, err = matrixrtc.ResumeRoom(s, c.opts.Room)
		}
		if err != nil {
			c.log.Warn("what was kept of a room cannot be used, asking the homeserver for it", "room", string(s.Room), "err", err)
			continue
		}
		rooms[s.Room] = &entry{fold: fold, kept: text}
		have[s.Room] = usersOf(&s)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rooms = rooms
	return doc.Position, have
}

// usersOf lists the users of whom a room knows whether they are joined to it.
func usersOf(s *matrixrtc.Snapshot) (users []matrixrtc.UserID) {
	for i := range s.State {
		if s.State[i].Type == matrixrtc.TypeRoomMember {
			users = append(users, matrixrtc.UserID(s.State[i].Key))
		}
	}
	return users
}

// begin has the rooms stand for no position until end. It reports false if ctx
// ended first.
func (s *saves) begin(ctx context.Context) bool {
	if s.mid {
		return true
	}
	select {
	case s.turn <- struct{}{}:
		s.mid = true
		return true
	case <-ctx.Done():
		return false
	}
}

// end says that an answer was told in full, and what position it has.
func (s *saves) end(ctx context.Context, position string) {
	answer := s.mid
	if !s.begin(ctx) {
		return
	}
	s.mid, s.position, s.changed = false, position, s.changed || answer
	<-s.turn
	select {
	case s.due <- struct{}{}:
	default:
	}
}

// leave gives the turn back after the last answer, which may have been left in
// the middle: then nothing is saved any more.
func (s *saves) leave() {
	if s.mid {
		<-s.turn
	}
}

// run saves until ctx ends.
func (s *saves) run(ctx context.Context, c *Client) {
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-s.due:
		case <-ctx.Done():
			return
		}
		wait.Reset(max(0, time.Until(s.at.Add(s.pause))))
		select {
		case <-wait.C:
			c.save(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// save saves if there is something to save. What goes wrong is said once, and
// tried again.
func (c *Client) save(ctx context.Context) {
	s := c.saves
	s.one.Lock()
	defer s.one.Unlock()
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return
	}
	began := time.Now()
	last := c.ctx.Err() != nil
	changed := s.changed || s.failed
	if s.mid || s.position == "" || s.position == s.saved && !changed ||
		!changed && !last && began.Before(s.at.Add(savePlace)) {
		<-s.turn
		return
	}
	user, device := c.hs.Self()
	doc := document{User: user, Device: device, Position: s.position}
	var list []kept
	for _, id := range c.everyRoom() {
		if k, ok := c.snapshot(id); ok {
			list = append(list, k)
		}
	}
	s.changed = false
	<-s.turn

	text, err := c.encode(&doc, list)
	if err == nil {
		err = s.store.Save(ctx, text)
	}
	s.at = time.Now()
	s.pause = max(saveEvery, saveShare*s.at.Sub(began))
	switch {
	case err == nil:
		s.saved, s.failed = doc.Position, false
		return
	case ctx.Err() != nil: // interrupted: Close saves
	case !s.failed:
		c.log.Warn("where we are cannot be kept: after a restart more will have to be asked again", "err", err)
	default:
		c.log.Debug("where we are cannot be kept", "err", err)
	}
	s.failed, s.pause = true, max(saveAgain, s.pause)
	select {
	case s.due <- struct{}{}:
	default:
	}
}

// kept is what is saved of a room: its snapshot, or what was saved of it the
// last time if nothing has happened since.
type kept struct {
	id       matrixrtc.RoomID
	steps    int // of the room, when it was taken
	snapshot *matrixrtc.Snapshot
	text     json.RawMessage
}

func (c *Client) everyRoom() []matrixrtc.RoomID {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := make([]matrixrtc.RoomID, 0, len(c.rooms))
	for id := range c.rooms {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// snapshot takes a room as it is; ok is false if we are not joined to it.
func (c *Client) snapshot(id matrixrtc.RoomID) (k kept, ok bool) {
	for {
		c.mu.Lock()
		e := c.rooms[id]
		if e == nil || !e.known || e.left {
			c.mu.Unlock()
			return kept{}, false
		}
		k, r := kept{id: id, steps: e.steps, text: e.kept}, e.room
		if k.text == nil && r == nil {
			s := e.fold.Snapshot()
			k.snapshot = &s
		}
		c.mu.Unlock()
		if k.text != nil || k.snapshot != nil {
			return k, true
		}
		if r.do(func() { s := r.fold.Snapshot(); k.snapshot = &s }) {
			return k, true
		}
		<-r.ended // and the fold is ours again
	}
}

// encode writes a document, and remembers the text of each room until something
// happens in it.
func (c *Client) encode(doc *document, list []kept) ([]byte, error) {
	for i := range list {
		k := &list[i]
		if k.text == nil {
			text, err := json.Marshal(k.snapshot)
			if err != nil { // a time that no homeserver should state
				c.log.Warn("a room cannot be kept", "room", string(k.id), "err", err)
				continue
			}
			k.text = text
			c.mu.Lock()
			if e := c.rooms[k.id]; e != nil && e.steps == k.steps {
				e.kept = text
			}
			c.mu.Unlock()
		}
		doc.Rooms = append(doc.Rooms, k.text)
	}
	return doc.encode()
}
