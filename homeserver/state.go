package homeserver

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// State reads the state of a room that sessions depend on, as one Complete
// batch: memberships of all dialects with the m.room.member events of their
// senders before them. ErrNotJoined if this user is not in the room.
//
// Beside a Sync of the same Client, apply the batch at once: what Sync delivers
// from then on follows it.
func (c *Client) State(ctx context.Context, room matrixrtc.RoomID) (matrixrtc.Batch, error) {
	batch, bad, err := c.readState(ctx, room)
	for _, err := range bad {
		c.log.WarnContext(ctx, "an event of the room's state cannot be read", "room", room, "error", err)
	}
	return batch, err
}

// readState reads /state as a stream, so that a room with very many members
// costs time and not memory: only what matters is kept. bad lists events that
// could not be read.
func (c *Client) readState(ctx context.Context, room matrixrtc.RoomID) (batch matrixrtc.Batch, bad []error, err error) {
	keep := stateTypes()
	people := map[string]json.RawMessage{} // m.room.member by state key
	// Who was told of stays told of: sticky events, which are no state, speak for
	// members, too (docs/protocol.md R-SYNC-5).
	senders := c.members.of(room)
	now := time.Now()
	batch = matrixrtc.Batch{Room: room, Complete: true}
	each := func(raw json.RawMessage) {
		if head := peek(raw); !slices.Contains(keep, head.Type) {
			return
		} else if head.Type == matrixrtc.TypeRoomMember {
			people[head.StateKey] = raw
			return
		}
		e, err := parse(raw, room, now)
		if err == nil && !e.IsState() {
			err = fmt.Errorf("%w: an event of the state has no state_key", ErrBadAnswer)
		}
		if err != nil {
			bad = append(bad, err)
			return
		}
		if isMembership(e.Type) {
			senders[string(e.Sender)] = true
		}
		batch.State = append(batch.State, e)
	}
	_, err = c.do(ctx, request{op: "read the state of " + string(room), method: http.MethodGet,
		path: []any{"v3", "rooms", room, "state"}, handler: eachEvent("", each), limit: stateAnswer, timeout: 2 * time.Minute})
	if err != nil {
		return matrixrtc.Batch{}, nil, c.membership(ctx, room, err)
	}
	// A homeserver may show the state to those who are invited, or have left:
	// not joined all the same.
	user, _ := c.Self()
	var self struct {
		Content struct {
			Membership string `json:"membership"`
		} `json:"content"`
	}
	if raw := people[string(user)]; raw == nil || json.Unmarshal(raw, &self) != nil || self.Content.Membership != "join" {
		return matrixrtc.Batch{}, nil, c.notJoined(room)
	}
	senders[string(user)] = true
	var members []matrixrtc.Event
	for sender := range senders {
		if raw := people[sender]; raw != nil {
			e, err := parse(raw, room, now)
			if err != nil {
				bad = append(bad, err)
				continue
			}
			members = append(members, e)
		}
	}
	sortEvents(members)
	c.members.reset(room, senders)
	batch.State = append(members, batch.State...)
	return batch, bad, nil
}

// head is the part of an event that decides whether it is kept.
type head struct {
	Type     string `json:"type"`
	StateKey string `json:"state_key"`
}

func peek(raw json.RawMessage) head {
	var h head
	_ = json.Unmarshal(raw, &h) // what cannot be read is of no wanted type
	return h
}

// parse reads one event as received at now.
func parse(raw json.RawMessage, room matrixrtc.RoomID, now time.Time) (matrixrtc.Event, error) {
	e, err := matrixrtc.ParseEvent(raw, room)
	e.Received = now
	return e, err
}

// eachEvent decodes a list of events one by one: the whole answer if key is "",
// else the list under that key of an object.
func eachEvent(key string, each func(json.RawMessage)) func(*http.Request, *http.Response, any, int64) ([]byte, error) {
	return func(_ *http.Request, resp *http.Response, _ any, limit int64) ([]byte, error) {
		dec := json.NewDecoder(&boundedReader{r: resp.Body, left: limit})
		if key != "" {
			if err := seekKey(dec, key); err != nil {
				return nil, err
			}
		}
		if t, err := dec.Token(); err != nil {
			return nil, err
		} else if t != json.Delim('[') {
			return nil, errAnswer
		}
		return nil, restOfList(dec, each)
	}
}

// restOfList decodes a list that was entered, one value at a time.
func restOfList(dec *json.Decoder, each func(json.RawMessage)) error {
	for dec.More() {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return err
		}
		each(raw)
	}
	_, err := dec.Token()
	return err
}

// seekKey moves a decoder to the value of a key of the object that comes next.
func seekKey(dec *json.Decoder, key string) error {
	if t, err := dec.Token(); err != nil {
		return err
	} else if t != json.Delim('{') {
		return errAnswer
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		if t == key {
			return nil
		}
		var skipped json.RawMessage
		if err := dec.Decode(&skipped); err != nil {
			return err
		}
	}
	return errAnswer
}

// boundedReader fails where io.LimitReader would pretend that the answer ends.
type boundedReader struct {
	r    io.Reader
	left int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLarge
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// sortEvents sorts m.room.member events by whom they are of: requests and maps
// have no order worth keeping.
func sortEvents(events []matrixrtc.Event) {
	slices.SortFunc(events, func(a, b matrixrtc.Event) int {
		return strings.Compare(*a.StateKey, *b.StateKey)
	})
}
