package auth

import (
	"context"
	"errors"
	"sync"
	"time"
)

// roomMaker makes rooms. Those who want the same room while it is being made wait
// for that, instead of having it made again: a meeting begins with many at once.
type roomMaker struct {
	rooms Rooms

	mu    sync.Mutex
	under map[string]*making
}

// making is a room that is being made; err is read after done.
type making struct {
	done chan struct{}
	err  error
}

func newRoomMaker(rooms Rooms) *roomMaker {
	return &roomMaker{rooms: rooms, under: map[string]*making{}}
}

// errRoom: making a room did not come to an end.
var errRoom = errors.New("making the room came to no end")

// roomTimeout bounds the creation of a room.
const roomTimeout = 5 * time.Second

// make makes a room, or finds it there. Whoever gives up waiting takes nothing
// from the others.
func (m *roomMaker) make(ctx context.Context, name string) error {
	m.mu.Lock()
	k, ok := m.under[name]
	if !ok {
		k = &making{done: make(chan struct{})}
		m.under[name] = k
	}
	m.mu.Unlock()
	if !ok {
		m.begin(context.WithoutCancel(ctx), name, k)
		return k.err
	}
	select {
	case <-k.done:
		return k.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin makes a room in the caller's goroutine.
func (m *roomMaker) begin(ctx context.Context, name string, k *making) {
	ctx, cancel := context.WithTimeout(ctx, roomTimeout)
	defer cancel()
	k.err = errRoom // if CreateRoom panics
	defer func() {
		m.mu.Lock()
		delete(m.under, name)
		m.mu.Unlock()
		close(k.done)
	}()
	k.err = m.rooms.CreateRoom(ctx, name)
}
