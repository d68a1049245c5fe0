package archive

import (
	"encoding/base64"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/matrixrtc-go/matrixrtc"
)

// chainRef is what makes a chain. who is 0 where the key alone does.
type chainRef struct {
	room     int64
	typ, key string
	who      int64
}

// unkeyed is the key of the chain of a sticky event that has none.
func unkeyed(id matrixrtc.EventID) string { return "\x00" + string(id) }

// chain is a row of chains.
type chain struct {
	id    int64
	ref   chainRef
	owner int64
	skew  bool
}

// stored is a record in its place.
type stored struct {
	matrixrtc.Record
	id, ord, walk int64
	chain         *chain
}

// hashOf finds an event: the first look, before ids are compared.
func hashOf(id matrixrtc.EventID) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	return int64(h.Sum64())
}

const packed = 0 // first byte of an event id that is the hash of its event

// packEvent writes an event id: those of room versions from 4 on are the
// unpadded URL-safe base64 of 32 bytes.
func packEvent(id matrixrtc.EventID) []byte {
	if rest, ok := strings.CutPrefix(string(id), "$"); ok && len(rest) == 43 {
		if b, err := base64.RawURLEncoding.Strict().AppendDecode([]byte{packed}, []byte(rest)); err == nil {
			return b
		}
	}
	return []byte(id)
}

func unpackEvent(b []byte) matrixrtc.EventID {
	if len(b) == 33 && b[0] == packed {
		return matrixrtc.EventID(base64.RawURLEncoding.AppendEncode([]byte{'$'}, b[1:]))
	}
	return matrixrtc.EventID(b)
}

// roomIfKnown is the id of a room, 0 if the archive knows nothing of it.
func (t *tx) roomIfKnown(name matrixrtc.RoomID) (int64, error) {
	return t.named(t.rooms, string(name), "SELECT id FROM rooms WHERE name=?", "")
}

// room is the id of a room. A new one has everything to be folded.
func (t *tx) room(name matrixrtc.RoomID) (int64, error) {
	id, err := t.roomIfKnown(name)
	if err != nil || id != 0 {
		return id, err
	}
	if id, err = t.insert("INSERT INTO rooms (name) VALUES (?)", string(name)); err != nil {
		return 0, err
	}
	t.rooms[string(name)] = id
	return id, t.markWhole(id)
}

func (t *tx) user(name matrixrtc.UserID) (int64, error) {
	return t.named(t.users, string(name), "SELECT id FROM users WHERE name=?", "INSERT INTO users (name) VALUES (?)")
}

// named finds the id of a name, or gives it one if add says how; else it is 0.
func (t *tx) named(known map[string]int64, name, find, add string) (id int64, err error) {
	if id = known[name]; id != 0 {
		return id, nil
	}
	found, err := t.one(find, []any{name}, &id)
	if err == nil && !found && add != "" {
		id, err = t.insert(add, name)
	}
	known[name] = id
	return id, err
}

// userName is the name of a user's id.
func (t *tx) userName(id int64) (matrixrtc.UserID, error) {
	name, ok := t.names[id]
	if !ok {
		if _, err := t.one("SELECT name FROM users WHERE id=?", []any{id}, &name); err != nil {
			return "", err
		}
		t.names[id] = name
	}
	return matrixrtc.UserID(name), nil
}

func (t *tx) slot(room int64, name matrixrtc.SlotID) (slotID, error) {
	ref := slotRef{room, string(name)}
	if id := t.slots[ref]; id != 0 {
		return slotID(id), nil
	}
	var id int64
	found, err := t.one("SELECT id FROM slots WHERE room=? AND name=?", []any{room, string(name)}, &id)
	if err == nil && !found {
		id, err = t.insert("INSERT INTO slots (room, name) VALUES (?, ?)", room, string(name))
	}
	t.slots[ref] = id
	return slotID(id), err
}

// chainOf finds the chain of a record, or begins it.
func (t *tx) chainOf(room int64, r *matrixrtc.Record) (*chain, error) {
	sender, err := t.user(r.Sender)
	if err != nil {
		return nil, err
	}
	ref := chainRef{room: room, typ: r.Type, key: r.Key}
	switch r.Kind {
	case matrixrtc.RecordSticky:
		ref.who = sender
		if r.Key == "" { // nothing replaces it
			ref.key = unkeyed(r.Event)
		}
	case matrixrtc.RecordRedaction, matrixrtc.RecordNotification, matrixrtc.RecordDecline:
		ref.who = sender
	}
	if c := t.chains[ref]; c != nil {
		return c, nil
	}
	c := &chain{ref: ref, owner: sender}
	found, err := t.one("SELECT id, owner, skew FROM chains WHERE room=? AND type=? AND key=? AND who=?",
		[]any{room, ref.typ, ref.key, ref.who}, &c.id, &c.owner, &c.skew)
	if err == nil && !found {
		c.id, err = t.insert("INSERT INTO chains (room, type, key, who, owner) VALUES (?, ?, ?, ?, ?)",
			room, ref.typ, ref.key, ref.who, c.owner)
	}
	if err != nil {
		return nil, err
	}
	t.chains[ref], t.byID[c.id] = c, c
	return c, nil
}

func (t *tx) chainByID(id int64) (*chain, error) {
	if c := t.byID[id]; c != nil {
		return c, nil
	}
	c := &chain{id: id}
	if _, err := t.one("SELECT room, type, key, who, owner, skew FROM chains WHERE id=?", []any{id},
		&c.ref.room, &c.ref.typ, &c.ref.key, &c.ref.who, &c.owner, &c.skew); err != nil {
		return nil, err
	}
	t.chains[c.ref], t.byID[id] = c, c
	return c, nil
}

// body writes what the columns and the chain do not say. replaced: the record
// that it replaced is named by a column.
func (t *tx) body(c *chain, r *matrixrtc.Record, replaced bool) ([]byte, error) {
	short := *r
	owner, err := t.userName(c.owner)
	if err != nil {
		return nil, err
	}
	if short.Sender == owner {
		short.Sender = ""
	}
	short.Event, short.Type, short.Key, short.Time = "", "", "", 0
	if replaced {
		short.Replaces = ""
	}
	return short.AppendBinary(nil)
}

// columns of a record, as scan reads them.
const columns = "id, ord, chain, walk, ts, event, body, (SELECT p.event FROM records p WHERE p.id=records.prev)"

// The records next to a place in a chain.
const (
	nextAbove = "SELECT " + columns + " FROM records WHERE chain=? AND ord>? ORDER BY ord LIMIT 1"
	nextBelow = "SELECT " + columns + " FROM records WHERE chain=? AND ord<? ORDER BY ord DESC LIMIT 1"
)

// scan reads a record with the columns.
func (t *tx) scan(room matrixrtc.RoomID, scan func(...any) error) (*stored, error) {
	s := &stored{}
	var c, ts int64
	var event, body, prev []byte
	if err := scan(&s.id, &s.ord, &c, &s.walk, &ts, &event, &body, &prev); err != nil {
		return nil, err
	}
	if err := s.UnmarshalBinary(body); err != nil {
		return nil, err
	}
	s.Room, s.Event, s.Time = room, unpackEvent(event), ts
	if prev != nil {
		s.Replaces = unpackEvent(prev)
	}
	var err error
	if s.chain, err = t.chainByID(c); err != nil {
		return nil, err
	}
	s.Type, s.Key = s.chain.ref.typ, s.chain.ref.key
	if s.chain.ref.who != 0 && s.Key == unkeyed(s.Event) {
		s.Key = ""
	}
	if s.Sender == "" {
		s.Sender, err = t.userName(s.chain.owner)
	}
	return s, err
}

// find reads the record of an event, nil if it is not here.
func (t *tx) find(room int64, name matrixrtc.RoomID, id matrixrtc.EventID) (found *stored, err error) {
	err = t.each("SELECT "+columns+" FROM records WHERE hash=? AND room=?", []any{hashOf(id), room}, func(scan func(...any) error) error {
		s, err := t.scan(name, scan)
		if err == nil && s.Event == id {
			found = s
		}
		return err
	})
	return found, err
}

// roomCalls are the slot ids that all mean the room call (ruling R-SLOT-1).
var roomCalls = []string{"m.call#ROOM", "m.call#room", "m.call#"}

// slotsOf lists the slots that a record speaks of, also of what was before it.
func slotsOf(r *matrixrtc.Record) (list []matrixrtc.SlotID) {
	for _, claims := range [...][]matrixrtc.RecordClaim{r.Claims, r.PreviousClaims} {
		for i := range claims {
			list = append(list, claims[i].Slot)
		}
	}
	switch {
	case r.Kind == matrixrtc.RecordNotification && r.Slot != "":
		list = append(list, r.Slot)
	case r.Kind == matrixrtc.RecordSlot && slices.Contains(roomCalls, r.Key):
		list = append(list, matrixrtc.RoomCall)
	case r.Kind == matrixrtc.RecordSlot:
		list = append(list, matrixrtc.SlotID(r.Key))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// untilOf is until when what a record claims counts, unless something happens.
func untilOf(r *matrixrtc.Record) int64 {
	until := r.Time
	for i := range r.Claims {
		until = max(until, r.Claims[i].Expires)
	}
	return until
}
