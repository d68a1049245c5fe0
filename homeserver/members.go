package homeserver

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// memberCache knows of which users the receiver of our batches has been told
// whether they are joined, by room.
type memberCache struct {
	mu    sync.Mutex
	rooms map[matrixrtc.RoomID]map[string]bool
}

// reset forgets a room but for these users.
func (m *memberCache) reset(room matrixrtc.RoomID, users map[string]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rooms == nil {
		m.rooms = map[matrixrtc.RoomID]map[string]bool{}
	}
	m.rooms[room] = users
}

// of lists the users of a room.
func (m *memberCache) of(room matrixrtc.RoomID) map[string]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	users := make(map[string]bool, len(m.rooms[room]))
	maps.Copy(users, m.rooms[room])
	return users
}

// forget forgets a room.
func (m *memberCache) forget(room matrixrtc.RoomID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.rooms, room)
}

func (m *memberCache) has(room matrixrtc.RoomID, user string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rooms[room][user]
}

// maxKnown bounds how many users of a room are remembered: beyond it all are
// forgotten, and fetched again when one of them states a membership.
const maxKnown = 20_000

func (m *memberCache) add(room matrixrtc.RoomID, users ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rooms == nil {
		m.rooms = map[matrixrtc.RoomID]map[string]bool{}
	}
	if m.rooms[room] == nil || len(m.rooms[room]) > maxKnown {
		m.rooms[room] = map[string]bool{}
	}
	for _, u := range users {
		m.rooms[room][u] = true
	}
}

// fetchMembers fetches the m.room.member events of users. Users whom the room
// has never seen have none.
func (c *Client) fetchMembers(ctx context.Context, room matrixrtc.RoomID, users map[string]bool) ([]matrixrtc.Event, error) {
	var found []matrixrtc.Event
	now := time.Now()
	take := func(raw json.RawMessage) {
		if h := peek(raw); h.Type != matrixrtc.TypeRoomMember || !users[h.StateKey] {
			return
		}
		if e, err := parse(raw, room, now); err == nil {
			found = append(found, e)
		}
	}
	missing := users
	if len(users) <= maxSingles {
		var err error
		if missing, err = c.fetchSingles(ctx, room, users, take); err != nil {
			return nil, err
		}
	}
	if len(missing) > 0 {
		_, err := c.do(ctx, request{op: "read the members of " + string(room), method: http.MethodGet,
			path: []any{"v3", "rooms", room, "members"}, handler: eachEvent("chunk", take), limit: stateAnswer, timeout: 2 * time.Minute})
		if err != nil {
			return nil, err
		}
	}
	sortEvents(found)
	return found, nil
}

// maxSingles is up to how many members are asked for one by one, rather than
// all members of the room at once.
const maxSingles = 8

// fetchSingles asks for whole state events one by one. Homeservers older than
// that option answer with the content alone: then the rest is missing.
func (c *Client) fetchSingles(ctx context.Context, room matrixrtc.RoomID, users map[string]bool, take func(json.RawMessage)) (map[string]bool, error) {
	if c.noWholeEvents.Load() {
		return users, nil
	}
	for user := range users {
		raw, err := c.do(ctx, request{op: "read the membership of " + user, method: http.MethodGet,
			path: []any{"v3", "rooms", room, "state", matrixrtc.TypeRoomMember, user}, query: url.Values{"format": {"event"}}})
		if isAbsent(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var e struct {
			ID string `json:"event_id"`
		}
		if json.Unmarshal(raw, &e) != nil || e.ID == "" {
			c.noWholeEvents.Store(true)
			return users, nil
		}
		take(raw)
	}
	return nil, nil
}
