package matrixrtc

import (
	"slices"
	"strings"
)

// sessionBuilder makes past sessions of stays. It keeps its scratch space.
type sessionBuilder struct {
	seats        []*pastSeat
	counts       []int
	starts, ends []int64
}

// build makes one session of sorted stays. It allocates what the session
// consists of and nothing else: participants, stays, and the ids of events in
// one text.
func (b *sessionBuilder) build(run *pastRun, list []pastStay) PastSession {
	first := &list[0]
	s := PastSession{
		Key: SessionKey{run.room.id, run.slot}, Application: run.application, CallID: run.call, HasCallID: run.hasCall,
		Start: timeOf(first.start), StartUncertain: true, EndUncertain: true,
	}
	b.seats, b.counts = b.seats[:0], b.counts[:0]
	var ids strings.Builder
	size, end := 0, int64(-never)
	for i := range list {
		st := &list[i]
		size += int(st.event.to - st.event.from)
		end = max(end, st.end)
		if at := int(st.seat.index); at < len(b.seats) && b.seats[at] == st.seat {
			b.counts[at]++
			continue
		}
		st.seat.index = int32(len(b.seats))
		b.seats, b.counts = append(b.seats, st.seat), append(b.counts, 1)
	}
	ids.Grow(size)
	s.Participants = make([]Participant, len(b.seats))
	stays := make([]Stay, len(list))
	for i, seat := range b.seats {
		p := &s.Participants[i]
		p.User, p.Device, p.Member = UserID(seat.owner.id), DeviceID(seat.device), MemberID(seat.member)
		n := b.counts[i]
		p.Stays, stays = stays[:0:n], stays[n:]
	}
	for i := range list {
		st := &list[i]
		from := ids.Len()
		ids.Write(run.ids[st.event.from:st.event.to])
		p := &s.Participants[st.seat.index]
		p.add(st, EventID(ids.String()[from:]))
		s.StartUncertain = s.StartUncertain && (st.start > first.start || st.doubtful)
		s.EndUncertain = s.EndUncertain && (st.end < end || st.uncertain)
	}
	s.FirstEvent = EventID(ids.String()[:first.event.to-first.event.from])
	if end < never {
		s.End = timeOf(end)
	} else {
		s.EndUncertain = false
	}
	s.Peak = b.peak(s.Participants)
	return s
}

// add appends a stay, which begins no earlier than the ones before. Those that
// overlap, of branches of a forked history, are one.
func (p *Participant) add(st *pastStay, event EventID) {
	one := Stay{
		Start: timeOf(st.start), Event: event, Cause: st.cause,
		StartUncertain: st.doubtful, EndUncertain: st.uncertain, Skew: st.skew,
	}
	if !st.goesOn {
		one.End = timeOf(st.end)
	}
	if n := len(p.Stays); n > 0 {
		last := &p.Stays[n-1]
		if last.End.IsZero() || last.End.After(one.Start) {
			last.Skew = last.Skew || one.Skew
			if !last.End.IsZero() && (one.End.IsZero() || one.End.After(last.End)) {
				last.End, last.Cause, last.EndUncertain = one.End, one.Cause, one.EndUncertain
			}
			return
		}
	}
	p.Stays = append(p.Stays, one)
}

// peak is the greatest number of devices at one time. A stay of no length counts
// for a moment.
func (b *sessionBuilder) peak(list []Participant) int {
	b.starts, b.ends = b.starts[:0], b.ends[:0]
	for i := range list {
		for j := range list[i].Stays {
			st := &list[i].Stays[j]
			start, end := 2*st.Start.UnixMilli(), int64(never)
			if !st.End.IsZero() {
				end = max(2*st.End.UnixMilli(), start+1)
			}
			b.starts, b.ends = append(b.starts, start), append(b.ends, end)
		}
	}
	slices.Sort(b.starts)
	slices.Sort(b.ends)
	peak, over := 0, 0
	for i, start := range b.starts {
		for b.ends[over] <= start {
			over++
		}
		peak = max(peak, i+1-over)
	}
	return peak
}
