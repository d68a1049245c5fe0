package matrixrtc

import (
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/jsonscan"
)

// maxProblems bounds what is listed of one event, and maxList how much of a
// list in an event is read: both are far beyond what anybody means.
const (
	maxProblems = 32
	maxList     = 256
)

// problems collects everything that is wrong with one event. A problem either
// rejects the event or only remarks on it.
type problems struct {
	list     []Problem
	rejected bool
}

// add notes a problem that rejects the event.
func (p *problems) add(field, problem, source string) {
	p.rejected = true
	p.remark(field, problem, source)
}

// remark notes a problem that leaves the event valid.
func (p *problems) remark(field, problem, source string) {
	switch {
	case len(p.list) < maxProblems:
		p.list = append(p.list, Problem{field, problem, source})
	case len(p.list) == maxProblems:
		p.list = append(p.list, Problem{"", "more is wrong than is listed", "ruling R-JSON-3"})
	}
}

func (p *problems) require(ok bool, field string) {
	if ok {
		return
	}
	p.rejected = true
	for _, q := range p.list {
		if q.Field == field {
			return // it is there, and something worse is wrong with it
		}
	}
	p.add(field, "is missing", "client-server API, event format")
}

// twice remarks on a field that stands more than once.
func (p *problems) twice(field string) {
	p.remark(field, "stands more than once; the last one counts", "ruling R-JSON-1")
}

func (p *problems) invalid(id EventID) *InvalidError {
	return &InvalidError{Event: id, Problems: p.list}
}

func (p *problems) text(v jsonscan.Value, field string) string {
	s, ok := v.Text()
	if !ok {
		p.add(field, "is not a string", "client-server API, event format")
	}
	return s
}

// millis reads milliseconds since 1970. Numbers that JSON readers disagree on
// are clamped and remarked upon.
func (p *problems) millis(v jsonscan.Value, field string) (time.Time, bool) {
	ms, ok := p.number(v, field)
	return time.UnixMilli(ms).UTC(), ok
}

func (p *problems) number(v jsonscan.Value, field string) (int64, bool) {
	n, how := v.Int()
	switch how {
	case jsonscan.NotNumber:
		p.remark(field, "is not a number", "client-server API, event format")
		return 0, false
	case jsonscan.Rounded:
		p.remark(field, "is not a whole number; rounded", "ruling R-JSON-2")
	case jsonscan.Unsafe:
		p.remark(field, "is beyond 2^53, where readers disagree; clamped", "ruling R-JSON-2")
	}
	return n, true
}
