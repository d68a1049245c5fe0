package auth

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// sweep looks at everybody whose time has come.
func (s *seats) sweep(now time.Time) {
	ctx, cancel := context.WithTimeout(s.ctx, max(s.interval, 10*time.Second))
	defer cancel()
	for {
		list, err := s.store.Due(ctx, now.Add(s.interval/2), seatsPage)
		rooms := map[string][]held{}
		for _, r := range list {
			st := held{version: r.Version}
			if json.Unmarshal(r.Data, &st.seat) != nil || seatKey(st.Room, st.User) != r.Key {
				_ = s.store.Delete(ctx, r.Key, r.Version) // not ours, or broken
				continue
			}
			rooms[st.Room] = append(rooms[st.Room], st)
		}
		for _, room := range slices.Sorted(maps.Keys(rooms)) {
			if err == nil {
				err = s.sweepRoom(ctx, room, rooms[room], now)
			}
		}
		if err != nil && s.ctx.Err() == nil {
			s.log.Warn("a sweep of the SFU did not come to its end; the next one tries again", "err", err)
		}
		if err != nil || len(list) < seatsPage {
			return
		}
	}
}

// held is a seat as it was read.
type held struct {
	seat
	version int64
}

// sweepRoom looks at users of one Matrix room. While nobody can tell who is in
// it everybody stays: an outage must not end calls. The error is the store's.
func (s *seats) sweepRoom(ctx context.Context, room string, list []held, now time.Time) error {
	in := func(string) (yes, told bool) { return false, false }
	if !s.quiet {
		in = s.whoIsIn(ctx, room, list)
	}
	for _, st := range list {
		yes, told := in(st.User)
		over := map[sfuPlace]bool{}
		for _, p := range st.Places {
			over[p] = p.Until <= now.Unix() && !s.there(ctx, p)
		}
		var out []sfuPlace
		err := s.change(ctx, seatKey(st.Room, st.User), func(cur *seat, version int64) time.Time {
			// Else there is a newer token, or newer word, than the answer.
			if told && version == st.version {
				if yes {
					cur.come()
				} else {
					cur.leave(now)
				}
			}
			cur.Places = slices.DeleteFunc(cur.Places, func(p sfuPlace) bool { return over[p] })
			if out = nil; cur.Out {
				out = slices.Clone(cur.Places)
			}
			return now.Add(s.interval)
		})
		if err != nil {
			return err
		}
		for _, p := range out {
			s.remove(ctx, p, "swept")
		}
	}
	return nil
}

// there says whether a participant is on the SFU, for all that is known.
func (s *seats) there(ctx context.Context, p sfuPlace) bool {
	if s.presence == nil {
		return false
	}
	_, there, err := s.presence.Participant(ctx, p.Room, p.Identity)
	return there || err != nil
}

// whoIsIn asks the homeserver who is in a room: by the word of a local user who
// has a token for it, else one by one.
func (s *seats) whoIsIn(ctx context.Context, room string, list []held) func(user string) (yes, told bool) {
	answers := map[string]bool{}
	for _, st := range list {
		if userServer(st.User) != s.server || len(answers) == askers {
			continue
		}
		joined, gone, err := s.who.members(ctx, st.User, room)
		if err != nil {
			s.log.Warn("who is in a room cannot be asked; everybody stays on the SFU", "err", err)
			return func(string) (bool, bool) { return false, false }
		}
		if !gone {
			return func(user string) (bool, bool) { return joined[user], true }
		}
		answers[st.User] = false
	}
	for _, st := range list {
		if _, ok := answers[st.User]; ok || ctx.Err() != nil {
			continue
		}
		if yes, err := s.who.joined(ctx, asker{user: st.User}, room); err == nil {
			answers[st.User] = yes
		}
	}
	return func(user string) (bool, bool) { yes, told := answers[user]; return yes, told }
}
