package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
)

// course makes a file of changes endless. A lap is the file once, and then what
// brings everybody back to where they were in the snapshot: those who left join
// again, second devices leave. So each event of each lap changes something, and
// a room stays as large as it is, however long one measures.
type course struct {
	snap  [][]byte
	texts []stamped
	span  int64 // milliseconds from a lap to the next one
}

// maxLaps is how long a room is used: then the time since the snapshot would
// come near to the end of its first members.
const maxLaps = 1000

// stamped is the text of an event, with the places of what differs from lap to
// lap: the last characters of its id, and its time.
type stamped struct {
	text      []byte
	id, ts    int  // where they start
	back      bool // brings somebody back, made from another event of the lap
	origin    int64
	sinceHead int64 // milliseconds since the lap's first event
}

const (
	idTail   = 6
	tsDigits = 13
)

// What an event is to a course. A key is a device in the call.
type outline struct {
	Sender   string          `json:"sender"`
	StateKey *string         `json:"state_key"`
	Content  json.RawMessage `json:"content"`
}

type key struct{ sender, key string }

func (o *outline) read(line []byte) (k key, joined bool, err error) {
	var c struct {
		Key         string          `json:"msc4354_sticky_key"`
		Application json.RawMessage `json:"application"`
	}
	*o = outline{}
	if err := json.Unmarshal(line, o); err != nil {
		return k, false, err
	}
	if err := json.Unmarshal(o.Content, &c); err != nil {
		return k, false, err
	}
	k = key{o.Sender, c.Key}
	if o.StateKey != nil {
		k.key = *o.StateKey
	}
	return k, c.Application != nil, nil
}

// newCourse makes the laps over a snapshot from its file of changes.
func newCourse(snap, chg [][]byte) (*course, error) {
	c := &course{snap: snap}
	var o outline
	was := map[key][]byte{}
	for _, line := range snap {
		k, joined, err := o.read(line)
		if err != nil {
			return nil, err
		}
		if joined {
			was[k] = line
		}
	}
	type change struct {
		key    key
		line   []byte
		joined bool
	}
	var touched []key // in the order of their first change
	last := map[key]change{}
	for _, line := range chg {
		k, joined, err := o.read(line)
		if err != nil {
			return nil, err
		}
		if _, again := last[k]; !again {
			touched = append(touched, k)
		}
		last[k] = change{k, line, joined}
		if err := c.add(line, -1); err != nil {
			return nil, err
		}
	}
	for _, k := range touched {
		var err error
		switch back := was[k]; {
		case back != nil && !last[k].joined:
			err = c.add(back, c.end()+1)
		case back == nil && last[k].joined:
			if back, err = leaveOf(last[k].line); err == nil {
				err = c.add(back, c.end()+1)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	for i := range c.texts {
		c.texts[i].sinceHead = c.texts[i].origin - c.texts[0].origin
	}
	c.span = c.end() - c.texts[0].origin + 1
	return c, nil
}

func (c *course) end() int64 { return c.texts[len(c.texts)-1].origin }

var (
	idPlace = regexp.MustCompile(`"event_id":"\$[^"\\]{10,}"`)
	tsPlace = regexp.MustCompile(`"origin_server_ts":[0-9]{13}[,}]`)
)

// add appends an event of a lap. ts is its time in the first lap, -1 for one of
// the file, which has its time.
func (c *course) add(line []byte, ts int64) error {
	ids, times := idPlace.FindAllIndex(line, 2), tsPlace.FindAllIndex(line, 2)
	if len(ids) != 1 || len(times) != 1 {
		return fmt.Errorf("want one event_id and one origin_server_ts of %d digits, without white space, in %.200q", tsDigits, line)
	}
	s := stamped{text: bytes.Clone(line), back: ts >= 0, id: ids[0][1] - 1 - idTail, ts: times[0][1] - 1 - tsDigits}
	if ts < 0 {
		var err error
		if ts, err = strconv.ParseInt(string(line[s.ts:s.ts+tsDigits]), 10, 64); err != nil {
			return err
		}
	}
	s.origin = ts
	c.texts = append(c.texts, s)
	return nil
}

// leaveOf is how the device of a membership leaves.
func leaveOf(line []byte) ([]byte, error) {
	var e wireEvent
	var content json.RawMessage
	e.Content = &content
	if err := json.Unmarshal(line, &e); err != nil {
		return nil, err
	}
	var left leftSticky
	if err := json.Unmarshal(content, &left); err != nil {
		return nil, err
	}
	if e.Content = left; e.StateKey != nil {
		e.Content = leftState{}
	}
	return json.Marshal(e)
}

// lap is the i-th lap, from 0, in memory of its own.
func (c *course) lap(i int) [][]byte {
	lines := make([][]byte, len(c.texts))
	for n, s := range c.texts {
		line := bytes.Clone(s.text)
		tail := 'c'
		if s.back {
			tail = 'b' // it must not have the id of the event it is made from
		}
		copy(line[s.id:s.id+idTail], fmt.Sprintf("%c%0*d", tail, idTail-1, i))
		strconv.AppendInt(line[s.ts:s.ts], s.origin+int64(i)*c.span, 10)
		lines[n] = line
	}
	return lines
}
