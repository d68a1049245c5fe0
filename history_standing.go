package matrixrtc

import "slices"

// standing appends the sessions of a room that were not returned, as they stand
// at now, and leaves the room as it is.
func (h *History) standing(list []PastSession, r *pastRoom, now int64) []PastSession {
	due := r.due
	for _, run := range r.runs {
		if run.idle() {
			continue
		}
		was, seats := *run, make([]pastSeat, len(run.seats))
		var alive []*pastCand
		run.stays = slices.Clone(run.stays)
		run.ids = slices.Clone(run.ids)
		for i, s := range run.seats {
			seats[i] = *s
			if s.sitting {
				for _, k := range s.cands {
					if !k.over {
						alive = append(alive, k)
					}
				}
				h.settle(r, s, now+1)
			}
		}
		for _, s := range run.seats {
			if s.sitting {
				run.stays = append(run.stays, pastStay{seat: s, start: s.start, end: never, event: s.event, doubtful: s.doubtful, goesOn: true})
			}
		}
		sortStays(run.stays)
		for done := 0; done < len(run.stays); {
			n, end := h.together(run.stays[done:])
			list = append(list, h.builder.build(run, run.stays[done:done+n]))
			r.announce(&list[len(list)-1], run.stays[done].start, end, run, false)
			done += n
		}
		*run = was
		for _, k := range alive {
			k.over = false
		}
		for i, s := range run.seats {
			*s = seats[i]
		}
	}
	r.due = due
	return list
}
