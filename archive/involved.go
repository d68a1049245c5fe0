package archive

import (
	"cmp"
	"errors"
	"slices"

	"github.com/matrixrtc-go/matrixrtc"
)

// usualLife is for how long a membership counts at most, most of the time: see
// the index said_long. stickiest is for how long an event may stick (MSC4354).
// nearby is how far around a session things may lie that concern it, with clocks
// that are not quite right. All in milliseconds.
const (
	usualLife = 18_000_000
	stickiest = 3_600_000
	nearby    = 200_000
)

// gathering is the records that decide over a slot between two idle moments: all
// that happened in the room while it was not idle, and what was in force when
// that began.
type gathering struct {
	*folder
	slot     slotID
	slotName matrixrtc.SlotID
	idle     window
	have     map[int64]bool
	found    run   // oldest first, in the end
	from, to int64 // places: everything between them belongs to it
	since    int64 // the time at from
}

// involved gathers the records around a window. until is when the sessions end
// that are known to follow from it.
func (f *folder) involved(slot slotID, idle, w window, until int64) (*gathering, error) {
	g := &gathering{folder: f, slot: slot, idle: idle, have: map[int64]bool{}}
	var name string
	if _, err := f.one("SELECT name FROM slots WHERE id=?", []any{slot}, &name); err != nil {
		return nil, err
	}
	g.slotName = matrixrtc.SlotID(name)
	found, err := g.extent(w, until)
	if err != nil || !found {
		return g, err
	}
	for _, step := range []func() error{g.everything, g.inForce, g.beforeAndAfter, g.people, g.surroundings} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(g.found, func(a, b *stored) int { return cmp.Compare(a.ord, b.ord) })
	return g, nil
}

func (g *gathering) take(s *stored) {
	if !g.have[s.id] {
		g.have[s.id] = true
		g.found = append(g.found, s)
	}
}

// query takes all records that a query gives.
func (g *gathering) query(where string, args ...any) error {
	return g.each("SELECT "+columns+" FROM records WHERE "+where, args, func(scan func(...any) error) error {
		s, err := g.scan(g.name, scan)
		if err == nil {
			g.take(s)
		}
		return err
	})
}

// tick takes the last records before a place, for their time alone: the fold has
// no clock but what happens in the room, and looks at the last two.
func (g *gathering) tick(ord int64) error {
	return g.each("SELECT id, ord, ts FROM records WHERE room=? AND ord<? ORDER BY ord DESC LIMIT 2", []any{g.room, ord},
		func(scan func(...any) error) error {
			tick := &stored{Record: matrixrtc.Record{Kind: matrixrtc.RecordCreate, Room: g.name}}
			if err := scan(&tick.id, &tick.ord, &tick.Time); err != nil {
				return err
			}
			if !g.have[tick.id] {
				tick.id = -tick.id // the record itself may be taken yet
				g.take(tick)
			}
			return nil
		})
}

// extent finds the places between which everything matters. found is false if
// there is nothing.
func (g *gathering) extent(w window, until int64) (found bool, err error) {
	lo, hi := w.lo-nearby, max(w.hi, until)
	if hi < lastTime-nearby {
		hi += nearby
	}
	var first, last, n int64
	const said = " FROM said JOIN records ON records.id=said.rec WHERE slot=? AND said.ts>? AND said.ts<?"
	if _, err := g.one("SELECT count(*), coalesce(min(ord), 0), coalesce(max(ord), 0), coalesce(min(said.ts), 0)"+said,
		[]any{g.slot, g.idle.lo, g.idle.hi}, &n, &first, &last, &g.since); err != nil {
		return false, err
	}
	if n > 0 {
		lo = min(lo, g.since-nearby)
	}
	at, err := g.later(g.room, lo, firstTime, lastTime)
	if err != nil {
		return false, err
	}
	if found, err = g.one("SELECT ord, ts FROM records WHERE id=?", []any{at}, &g.from, &g.since); err != nil {
		return false, err
	}
	if n > 0 && (!found || first < g.from) {
		found, g.from, g.since = true, first, lo
	}
	if at, err = g.later(g.room, hi, firstTime, lastTime); err == nil {
		g.to, err = g.past(at, hi)
	}
	if n > 0 {
		g.to = max(g.to, last)
	}
	g.since = min(g.since, lo)
	return found, err
}

// past is the place, from a record on, at which the fold knows that a time is
// past: two in a row have to say so.
func (g *gathering) past(id, ts int64) (place int64, err error) {
	if id == 0 {
		return lastTime, nil
	}
	if _, err := g.one("SELECT ord FROM records WHERE id=?", []any{id}, &place); err != nil {
		return 0, err
	}
	for later := 0; later < 2; {
		var at int64
		found, err := g.one("SELECT ord, ts FROM records WHERE room=? AND ord>=? ORDER BY ord LIMIT 1", []any{g.room, place}, &place, &at)
		if err != nil {
			return 0, err
		}
		if !found {
			return lastTime, nil
		}
		if later++; at <= ts {
			later = 0
		}
		place++
	}
	return place, nil
}

// errWide says that a window holds too many records to have them all at once.
var errWide = errors.New("too many records for a window")

// mostRecords is how many they may be; beyond it the room is folded as a stream.
const mostRecords = 20_000

// everything takes all between the places, and the moment before.
func (g *gathering) everything() error {
	var n int
	if _, err := g.one("SELECT count(*) FROM (SELECT 1 FROM records WHERE room=? AND ord BETWEEN ? AND ? LIMIT ?)",
		[]any{g.room, g.from, g.to, mostRecords + 1}, &n); err != nil {
		return err
	}
	if n > mostRecords {
		return errWide
	}
	if err := g.query("room=? AND ord BETWEEN ? AND ?", g.room, g.from, g.to); err != nil {
		return err
	}
	return g.tick(g.from)
}

// inForce takes the memberships that counted at the beginning, or would have if
// something had not been in their way, in all slots of the room.
func (g *gathering) inForce() error {
	var chains []int64
	err := g.each(`SELECT DISTINCT s.chain FROM slots JOIN (
			SELECT slot, chain FROM said WHERE ts>?1 AND ts<=?2 AND until>?2
			UNION SELECT slot, chain FROM said WHERE until>?2 AND until-ts>18000000 AND ts<=?2
		) AS s ON s.slot=slots.id WHERE slots.room=?3`,
		[]any{g.since - usualLife, g.since, g.room}, func(scan func(...any) error) error {
			chains = append(chains, 0)
			return scan(&chains[len(chains)-1])
		})
	for _, id := range chains {
		if err != nil {
			return err
		}
		var c *chain
		if c, err = g.chainByID(id); err == nil {
			err = g.before(c)
		}
	}
	return err
}

// beforeAndAfter takes what the chains of all that was found need in order to be
// understood.
func (g *gathering) beforeAndAfter() error {
	last := map[*chain]*stored{}
	for _, s := range slices.Clone(g.found) {
		if s.chain == nil || s.Kind != matrixrtc.RecordMember && s.Kind != matrixrtc.RecordSticky {
			continue
		}
		if last[s.chain] == nil {
			if err := g.before(s.chain); err != nil {
				return err
			}
		}
		if last[s.chain] == nil || last[s.chain].ord < s.ord {
			last[s.chain] = s
		}
	}
	for c, s := range last {
		// What a redacted event said the next one knows.
		for s != nil && s.Redacted {
			var err error
			s, err = g.next(&stored{Record: matrixrtc.Record{Room: g.name}, chain: c, ord: s.ord}, nextAbove)
			if err != nil {
				return err
			}
			if s != nil {
				g.take(s)
				if err := g.tick(s.ord); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// before takes the records of a chain before the beginning, down to the first of
// which what it said is known, and the one that it replaced. A sticky event may
// outlive those that come after it.
func (g *gathering) before(c *chain) error {
	if c.skew { // times say nothing of its order
		return g.query("chain=?", c.id)
	}
	known := false
	for ord := g.from; ; {
		s, err := g.next(&stored{Record: matrixrtc.Record{Room: g.name}, chain: c, ord: ord}, nextBelow)
		if err != nil || s == nil {
			return err
		}
		g.take(s)
		switch {
		case s.Redacted, c.ref.who != 0 && s.Time > g.since-stickiest:
		case known:
			return nil
		default:
			known = true
		}
		ord = s.ord
	}
}

// people takes when those who spoke came to the room and left it.
func (g *gathering) people() error {
	users := map[matrixrtc.UserID]bool{}
	for _, s := range g.found {
		users[s.Sender] = true
	}
	for user := range users {
		if err := g.query("chain=(SELECT id FROM chains WHERE room=? AND type=? AND key=? AND who=0)",
			g.room, matrixrtc.TypeRoomMember, string(user)); err != nil {
			return err
		}
	}
	return nil
}

// surroundings takes what is said of slots and of the room, and when its records
// begin.
func (g *gathering) surroundings() error {
	if err := g.query("chain IN (SELECT chain FROM seats JOIN slots ON slots.id=seats.slot WHERE user=0 AND room=?)", g.room); err != nil {
		return err
	}
	for _, typ := range []string{matrixrtc.TypeRoomCreate, matrixrtc.TypeRoomEncryption} {
		if err := g.query("chain=(SELECT id FROM chains WHERE room=? AND type=? AND key='' AND who=0)", g.room, typ); err != nil {
			return err
		}
	}
	var second int64 // place
	if found, err := g.one("SELECT ord FROM records WHERE room=? ORDER BY ord LIMIT 1 OFFSET 1", []any{g.room}, &second); err != nil || !found {
		return err
	}
	return g.tick(second)
}
