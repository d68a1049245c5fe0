package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// budget is the processor time that a measurement takes: first as long as warm
// without being looked at, then as long as measure.
type budget struct{ warm, measure time.Duration }

// outcome is what a measurement prints, ours as well as the peer's.
type outcome struct {
	Ops     int64 `json:"ops"`
	CPU     int64 `json:"cpu_ns"`  // user and system time of the whole process, for all Ops
	Members []int `json:"members"` // after each operation, so that both sides can be held to it
}

// The operations. A file of changes is needed for the first two.
const (
	opTold     = "told"      // one more event; the changes that Apply returns are looked at
	opAsked    = "asked"     // one more event; the session is asked for
	opFromJSON = "from-json" // a snapshot from raw JSON to its session
	opStream   = "stream"    // the events of many rooms one by one, a session asked for after each
)

// worker measures one operation in this process: WARM MEASURE OPERATION FILE…,
// with the budget in milliseconds, as the peer is called, too.
func worker(args []string, stdout io.Writer) error {
	if len(args) < 3 {
		return &usageError{fmt.Errorf("work %q: want a budget, an operation and its files", args)}
	}
	var ms [2]int
	for i := range ms {
		var err error
		if ms[i], err = strconv.Atoi(args[i]); err != nil {
			return &usageError{err}
		}
	}
	b := budget{time.Duration(ms[0]) * time.Millisecond, time.Duration(ms[1]) * time.Millisecond}
	op, paths := args[2], args[3:]
	var inputs [][][]byte
	for _, path := range paths {
		lines, err := readLines(path)
		if err != nil {
			return err
		}
		inputs = append(inputs, lines)
	}
	var o outcome
	var err error
	switch {
	case (op == opTold || op == opAsked) && len(inputs) == 2:
		var c *course
		if c, err = newCourse(inputs[0], inputs[1]); err == nil {
			o, err = measureOneMore(c, op, b)
		}
	case op == opFromJSON && len(inputs) == 1:
		o, err = measureWhole(b, func() ([]int, error) {
			n, err := fromJSON(inputs[0])
			return []int{n}, err
		})
	case op == opStream && len(inputs) == 1:
		o, err = measureWhole(b, func() ([]int, error) { return stream(inputs[0]) })
	default:
		return &usageError{fmt.Errorf("work: no operation %s takes %d files", op, len(paths))}
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(o)
}

// at is the time at which an event is folded: that of the files, or the event's
// own when that is later.
func at(e *matrixrtc.Event) time.Time {
	if t := time.UnixMilli(atMillis); t.After(e.Origin) {
		return t
	}
	return e.Origin
}

// readRoom is a room from the raw events that a first sync would bring.
func readRoom(lines [][]byte) (*matrixrtc.Room, error) {
	batch := matrixrtc.Batch{
		Complete: true,
		State:    make([]matrixrtc.Event, 0, len(lines)),
		Sticky:   make([]matrixrtc.Event, 0, len(lines)),
	}
	for _, line := range lines {
		e, err := matrixrtc.ParseEvent(line, benchRoom)
		if err != nil {
			return nil, err
		}
		if e.IsState() {
			batch.State = append(batch.State, e)
		} else {
			batch.Sticky = append(batch.Sticky, e)
		}
	}
	r := matrixrtc.NewRoom(benchRoom, nil)
	r.Apply(batch, time.UnixMilli(atMillis))
	return r, nil
}

// count asks for the session as it stands, and how many are in it.
func count(r *matrixrtc.Room) int {
	s := r.Session(matrixrtc.RoomCall)
	if s == nil {
		return 0
	}
	return s.Devices()
}

func fromJSON(lines [][]byte) (members int, err error) {
	r, err := readRoom(lines)
	if err != nil {
		return 0, err
	}
	return count(r), nil
}

// live is a room that events come into one by one.
type live struct {
	room    *matrixrtc.Room
	members int
}

func enter(c *course) (*live, error) {
	r, err := readRoom(c.snap)
	if err != nil {
		return nil, err
	}
	return &live{r, count(r)}, nil
}

// take decodes one event, folds it in and says how many members there are: by
// counting the changes (told), or by asking for the session.
func (l *live) take(line []byte, op string) error {
	e, err := matrixrtc.ParseEvent(line, "")
	if err != nil {
		return err
	}
	list := l.room.Apply(matrixrtc.Batch{Events: []matrixrtc.Event{e}}, at(&e))
	if op == opAsked {
		l.members = count(l.room)
		return nil
	}
	for _, c := range list {
		switch c.(type) {
		case matrixrtc.MemberJoined:
			l.members++
		case matrixrtc.MemberLeft:
			l.members--
		}
	}
	return nil
}

// measureOneMore takes laps until the budget is used up, and at least as many as
// the peer may take, so that all it says can be checked. Making a lap's texts
// is not counted, nor is a room that is made anew.
func measureOneMore(c *course, op string, b budget) (outcome, error) {
	var o outcome
	laps := func(limit time.Duration, least int, watch bool) error {
		var l *live
		for n, spent := 0, time.Duration(0); n < least || spent < limit; n++ {
			if n%maxLaps == 0 {
				var err error
				if l, err = enter(c); err != nil {
					return err
				}
			}
			lines := c.lap(n % maxLaps)
			from, err := cpuTime()
			if err != nil {
				return err
			}
			for _, line := range lines {
				if err := l.take(line, op); err != nil {
					return err
				}
				if watch && n < peerLaps {
					o.Members = append(o.Members, l.members)
				}
			}
			to, err := cpuTime()
			if err != nil {
				return err
			}
			spent += to - from
			if watch {
				o.Ops += int64(len(lines))
				o.CPU += int64(to - from)
			}
		}
		if have := count(l.room); have != l.members {
			return fmt.Errorf("the changes add up to %d members, and the session has %d", l.members, have)
		}
		return nil
	}
	return o, errors.Join(laps(b.warm, 1, false), laps(b.measure, peerLaps, true))
}

// measureWhole does something as a whole until the budget is used up.
func measureWhole(b budget, do func() ([]int, error)) (outcome, error) {
	var o outcome
	repeat := func(limit time.Duration) error {
		from, err := cpuTime()
		if err != nil {
			return err
		}
		o.Ops, o.CPU = 0, 0
		for o.Ops == 0 || o.CPU < int64(limit) {
			if o.Members, err = do(); err != nil {
				return err
			}
			to, err := cpuTime()
			if err != nil {
				return err
			}
			o.Ops++
			o.CPU = int64(to - from)
		}
		return nil
	}
	return o, errors.Join(repeat(b.warm), repeat(b.measure))
}

// stream is what a client does that follows many rooms. members are those of
// the event's room after each membership.
func stream(lines [][]byte) (members []int, err error) {
	rooms := map[matrixrtc.RoomID]*matrixrtc.Room{}
	for _, line := range lines {
		e, err := matrixrtc.ParseEvent(line, "")
		if err != nil {
			return nil, err
		}
		r := rooms[e.Room]
		if r == nil {
			r = matrixrtc.NewRoom(e.Room, nil)
			rooms[e.Room] = r
		}
		r.Apply(matrixrtc.Batch{Events: []matrixrtc.Event{e}}, e.Origin)
		if e.Type != matrixrtc.TypeRoomMember {
			members = append(members, count(r))
		}
	}
	return members, nil
}
