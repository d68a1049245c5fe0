package homeserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// element is what Sync yielded once.
type element struct {
	batch matrixrtc.Batch
	err   error
}

// syncing runs Sync in the background and collects what it yields.
type syncing struct {
	mu   sync.Mutex
	seen []element
	done chan struct{}
}

func startSync(t *testing.T, c *homeserver.Client) *syncing {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &syncing{done: make(chan struct{})}
	go func() {
		defer close(s.done)
		for b, err := range c.Sync(ctx, "", nil) {
			s.mu.Lock()
			s.seen = append(s.seen, element{b, err})
			s.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-s.done
	})
	s.await(t, "the first answer", func(seen []element) bool {
		return len(seen) > 0 && seen[len(seen)-1].err == nil && seen[len(seen)-1].batch.Room == ""
	})
	return s
}

func (s *syncing) all() []element {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]element(nil), s.seen...)
}

func (s *syncing) await(t *testing.T, what string, ok func([]element) bool) {
	t.Helper()
	rtctest.Eventually(t, 40*time.Second, what, func() (bool, string) {
		seen := s.all()
		return ok(seen), describe(seen)
	})
}

// describe writes what was yielded, one line per element.
func describe(seen []element) string {
	var b strings.Builder
	for _, el := range seen {
		b.WriteString("\n  ")
		switch {
		case el.err != nil:
			fmt.Fprintf(&b, "error %v", el.err)
		case el.batch.Room == "":
			b.WriteString(".")
		default:
			fmt.Fprintf(&b, "complete=%v left=%v state[%s] events[%s]", el.batch.Complete, el.batch.Left,
				short(el.batch.State), short(el.batch.Events))
		}
	}
	return b.String()
}

func short(events []matrixrtc.Event) string {
	var list []string
	for _, e := range events {
		key := "-"
		if e.StateKey != nil {
			key = *e.StateKey
		}
		list = append(list, e.Type+" "+key+" "+string(e.Content))
	}
	return strings.Join(list, " | ")
}

// events lists the events of a type that were yielded for a room, in order.
func events(seen []element, room matrixrtc.RoomID, typ string) []matrixrtc.Event {
	var found []matrixrtc.Event
	for _, el := range seen {
		if el.batch.Room != room {
			continue
		}
		for _, list := range [][]matrixrtc.Event{el.batch.State, el.batch.Events} {
			for _, e := range list {
				if e.Type == typ {
					found = append(found, e)
				}
			}
		}
	}
	return found
}

func membership(c *homeserver.Client, n int) matrixrtc.Outgoing {
	user, device := c.Self()
	key := "_" + string(user) + "_" + string(device) + "_m.call"
	content, _ := json.Marshal(map[string]any{"application": "m.call", "call_id": "", "device_id": device, "n": n, "html": "<&>"})
	return matrixrtc.Outgoing{Type: matrixrtc.TypeCallMember, StateKey: &key, Content: content}
}

func send(t *testing.T, c *homeserver.Client, room matrixrtc.RoomID, out matrixrtc.Outgoing) matrixrtc.EventID {
	t.Helper()
	id, err := c.Send(t.Context(), room, out)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
