package archive

import (
	"cmp"
	"slices"

	"github.com/matrixrtc-go/matrixrtc"
)

// involved reads the records that decide over a slot between two idle moments,
// oldest first: what its chains say in that time and around it, where its
// people were, whether the slot was open, and what speaks of all that.
func (f *folder) involved(slot slotID, idle window) (run, error) {
	g := &gathering{folder: f, slot: slot, idle: idle, have: map[int64]bool{}, users: map[matrixrtc.UserID]bool{}}
	var name string
	if _, err := f.one("SELECT name FROM slots WHERE id=?", []any{slot}, &name); err != nil {
		return nil, err
	}
	g.slotName = matrixrtc.SlotID(name)
	for _, step := range []func() error{g.chains, g.people, g.surroundings, g.mentions} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(g.found, func(a, b *stored) int { return cmp.Compare(a.ord, b.ord) })
	return g.found, nil
}

// gathering is one search for records.
type gathering struct {
	*folder
	slot     slotID
	slotName matrixrtc.SlotID
	idle     window
	have     map[int64]bool
	users    map[matrixrtc.UserID]bool
	found    run
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

// chains takes what speaks of the slot between the idle moments, and from there
// on in both directions what it needs to be understood.
func (g *gathering) chains() error {
	type span struct{ chain, first, last int64 }
	var spans []span
	err := g.each(`SELECT said.chain, min(ord), max(ord) FROM said JOIN records ON records.id=said.rec
		WHERE slot=? AND said.ts>? AND said.ts<? GROUP BY said.chain`,
		[]any{g.slot, g.idle.lo, g.idle.hi}, func(scan func(...any) error) error {
			var s span
			err := scan(&s.chain, &s.first, &s.last)
			spans = append(spans, s)
			return err
		})
	if err != nil {
		return err
	}
	for _, s := range spans {
		c, err := g.chainByID(s.chain)
		if err != nil {
			return err
		}
		if c.skew { // times say nothing of its order
			if err := g.query("chain=?", s.chain); err != nil {
				return err
			}
			continue
		}
		if err := g.query("chain=? AND ord BETWEEN ? AND ?", s.chain, s.first, s.last); err != nil {
			return err
		}
		if err := g.along(c, s.first, "SELECT "+columns+" FROM records WHERE chain=? AND ord<? ORDER BY ord DESC LIMIT 1",
			func(ts int64) bool { return ts <= g.idle.lo }); err != nil {
			return err
		}
		if err := g.along(c, s.last, "SELECT "+columns+" FROM records WHERE chain=? AND ord>? ORDER BY ord LIMIT 1",
			func(ts int64) bool { return ts >= g.idle.hi }); err != nil {
			return err
		}
	}
	return nil
}

// along takes the records of a chain one by one, up to the first of which it is
// known that it is not about the slot, or that is beyond.
func (g *gathering) along(c *chain, ord int64, query string, beyond func(ts int64) bool) error {
	for {
		s, err := g.next(&stored{Record: matrixrtc.Record{Room: g.name}, chain: c, ord: ord}, query)
		if err != nil || s == nil {
			return err
		}
		g.take(s)
		if !s.Redacted && (beyond(s.Time) || !slices.Contains(slotsOf(&s.Record), g.slotName)) {
			return nil
		}
		ord = s.ord
	}
}

// people takes when those who spoke came to the room and left it.
func (g *gathering) people() error {
	for _, s := range g.found {
		g.users[s.Sender] = true
	}
	for user := range g.users {
		if err := g.query("chain=(SELECT id FROM chains WHERE room=? AND type=? AND key=? AND who=0)",
			g.room, matrixrtc.TypeRoomMember, string(user)); err != nil {
			return err
		}
	}
	return nil
}

// surroundings takes what is said of the slot itself, and of the room.
func (g *gathering) surroundings() error {
	if err := g.query("chain IN (SELECT chain FROM seats WHERE user=0 AND slot=?)", g.slot); err != nil {
		return err
	}
	for _, typ := range []string{matrixrtc.TypeRoomCreate, matrixrtc.TypeRoomEncryption} {
		if err := g.query("chain=(SELECT id FROM chains WHERE room=? AND type=? AND key='' AND who=0)", g.room, typ); err != nil {
			return err
		}
	}
	return nil
}

// mentions takes what redacts, announces or declines what was found, and what
// does so to that.
func (g *gathering) mentions() error {
	for i := 0; i < len(g.found); i++ {
		if err := g.query("room=? AND id IN (SELECT rec FROM refs WHERE hash=?)", g.room, hashOf(g.found[i].Event)); err != nil {
			return err
		}
	}
	return nil
}
