package follow

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
	"github.com/matrixrtc-go/matrixrtc/internal/suspect"
)

// Suspects watches a room for members that are dead in truth. Listen feeds it, and
// Watch or Follow asks it, one of them once. It may be used from any goroutine.
type Suspects struct {
	// Ask asks the SFU about memberships; nil: there is none to ask. Its error means
	// that the SFU did not answer.
	Ask func(context.Context, []suspect.Entry) (*suspect.SFU, error)
	// Every is how often; 0: 10 s.
	Every time.Duration
	// Failed is told, once for each time, that the SFU does not answer, and with nil
	// that it answers again. Nil: nobody is told.
	Failed func(error)

	mu   sync.Mutex
	room *suspect.Room
}

// NewSuspects watches a room; opts are those of its sessions and may be nil.
func NewSuspects(id matrixrtc.RoomID, opts *matrixrtc.RoomOptions) *Suspects {
	return &Suspects{room: suspect.NewRoom(id, opts)}
}

// Listen lets a sync pass, and takes in what it says of the room: see the function
// of this name.
func (s *Suspects) Listen(seq iter.Seq2[matrixrtc.Batch, error]) iter.Seq2[matrixrtc.Batch, error] {
	return func(yield func(matrixrtc.Batch, error) bool) {
		for b, err := range seq {
			if err == nil {
				s.mu.Lock()
				s.room.Apply(b, time.Now())
				s.mu.Unlock()
			}
			if !yield(b, err) {
				return
			}
		}
	}
}

// verdict is a verdict, and the session that the member counts in.
type verdict struct {
	suspect.Verdict
	session *matrixrtc.Session
}

// judge asks the SFU and judges everybody who counts in a session.
func (s *Suspects) judge(ctx context.Context, failed *bool) []verdict {
	var sfu *suspect.SFU
	if s.Ask != nil {
		s.mu.Lock()
		entries := s.room.Entries(time.Now())
		s.mu.Unlock()
		var err error
		sfu, err = s.Ask(ctx, entries)
		if ctx.Err() != nil {
			return nil
		}
		if s.Failed != nil && (err != nil) != *failed {
			s.Failed(err)
		}
		*failed = err != nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	sessions := map[matrixrtc.SessionKey]*matrixrtc.Session{}
	for _, session := range s.room.Sessions(now) {
		sessions[session.Key] = session
	}
	var list []verdict
	for _, v := range s.room.Judge(sfu, now, nil) {
		if v.Counted {
			list = append(list, verdict{v, sessions[v.SessionKey()]})
		}
	}
	return list
}

// run judges until ctx ends, and hands on what comes out.
func (s *Suspects) run(ctx context.Context, take func([]verdict)) {
	every := s.Every
	if every <= 0 {
		every = 10 * time.Second
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	failed := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		list := s.judge(ctx, &failed)
		if ctx.Err() != nil {
			return
		}
		if !failed { // an SFU that does not answer makes nobody alive
			take(list)
		}
	}
}

// Follow tells until ctx ends who is dead at least likely: a line under a key of the
// member, and nil when that is over.
func (s *Suspects) Follow(ctx context.Context, tell func(key string, line *report.Change)) {
	marked := marks{}
	s.run(ctx, func(list []verdict) {
		lines, over := marked.lines(list, time.Now())
		for i := range lines {
			line, key := &lines[i], keyOf(lines[i].Slot, lines[i].Member)
			if line.Kind != report.KindSuspected || line.Certainty == suspect.Possible.String() {
				line = nil
			}
			tell(key, line)
		}
		for _, who := range over {
			tell(keyOf(who.slot, &report.Member{User: who.key.User, Device: who.key.Device, Member: who.key.Member}), nil)
		}
	})
}

func keyOf(slot matrixrtc.SlotID, m *report.Member) string {
	if m.Device != "" {
		return fmt.Sprintf("%s %s device %s", slot, m.User, m.Device)
	}
	return fmt.Sprintf("%s %s member %s", slot, m.User, m.Member)
}

// marks remembers who was said to be dead, to say it once.
type marks map[seat]suspect.Certainty

// seat is whom a mark is of.
type seat struct {
	slot matrixrtc.SlotID
	key  matrixrtc.MemberKey
}

// lines are the lines of what has changed since the last time, and those who were
// said to be dead and whose membership has ended meanwhile.
func (m marks) lines(list []verdict, now time.Time) (out []report.Change, over []seat) {
	here := map[seat]bool{}
	for i := range list {
		v := &list[i]
		who := seat{v.Slot, v.MemberKey()}
		here[who] = true
		if m[who] == v.Certainty {
			continue
		}
		if m[who] = v.Certainty; v.Certainty == suspect.Alive {
			delete(m, who)
		}
		out = append(out, report.OfSuspicion(&v.Verdict, v.session, now))
	}
	for who := range m {
		if !here[who] {
			delete(m, who)
			over = append(over, who)
		}
	}
	return out, over
}
