package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/keeper"
	"github.com/matrixrtc-go/matrixrtc/media"
)

// Options of a Client; nil gives the defaults.
type Options struct {
	// Connectors open the connections for media; of several that support a
	// transport the first is used. None: every call is membership only.
	Connectors []media.Connector
	// Logger gets what goes on; nil: discard.
	Logger *slog.Logger
	// Room are the options of the rooms' computation; nil: the defaults.
	Room *matrixrtc.RoomOptions
	// Linger is how long a connection is kept that nobody is received over any
	// more, because members come back: a refresh may be late by seconds, and a
	// device that reloads is gone for a moment. Zero: 10 s.
	Linger time.Duration
	// Store keeps where the sync stands and what is known of the rooms, so that
	// the next process of the same device goes on from there: what is told only
	// once is not lost with this one. It is written every 5 s at most, and by
	// Close. Nil: nothing is kept, and New begins with what the homeserver says.
	Store Store
}

// Client follows the rooms of one account.
type Client struct {
	hs   Homeserver
	opts Options
	log  *slog.Logger

	ctx    context.Context // ends the sync
	cancel context.CancelFunc
	wg     sync.WaitGroup // the sync, and saving
	saves  *saves

	mu     sync.Mutex
	rooms  map[matrixrtc.RoomID]*entry
	synced bool          // the server's first answer is over
	news   chan struct{} // closed and made anew when an entry or synced changed
	closed bool
	err    error // why the sync has ended
}

// entry is one joined room. Its fold belongs to the goroutine of the open Room,
// else to whoever holds Client.mu.
type entry struct {
	fold  *matrixrtc.Room
	known bool // a complete batch has been applied, or all that came since it was kept
	left  bool // no longer joined; kept as long as the room is open
	room  *Room
	steps int             // batches
	kept  json.RawMessage // its snapshot, nil if it has changed since
}

// New starts to follow the account's rooms. Close ends it.
func New(hs Homeserver, opts *Options) *Client {
	c := &Client{hs: hs, rooms: map[matrixrtc.RoomID]*entry{}, news: make(chan struct{})}
	if opts != nil {
		c.opts = *opts
	}
	if c.opts.Linger == 0 {
		c.opts.Linger = 10 * time.Second
	}
	user, device := hs.Self()
	c.log = c.opts.Logger
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.log = c.log.With("user", string(user), "device", string(device))
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.saves = newSaves(c.opts.Store)
	c.wg.Go(c.sync) // Close waits
	if c.opts.Store != nil {
		c.wg.Go(func() { c.saves.run(c.ctx, c) }) // Close waits
	}
	return c
}

// Open opens a room: waits until the homeserver has told everything about it,
// and starts its stream. ErrNotJoined if the server's first answer is over
// without it (a room joined a moment ago may take a moment to come);
// ErrAlreadyOpen; the sync's final error.
func (c *Client) Open(ctx context.Context, room matrixrtc.RoomID) (*Room, error) {
	for {
		c.mu.Lock()
		e := c.rooms[room]
		switch {
		case c.closed:
			c.mu.Unlock()
			return nil, ErrClosed
		case e != nil && e.room != nil:
			c.mu.Unlock()
			return nil, fmt.Errorf("open %s: %w", room, ErrAlreadyOpen)
		case e != nil && e.known:
			e.room = newRoom(c, room, e)
			r := e.room
			c.mu.Unlock()
			go r.run() // Room.Close and Close wait
			return r, nil
		case c.err != nil:
			err := c.err
			c.mu.Unlock()
			return nil, fmt.Errorf("open %s: %w", room, err)
		case c.synced:
			c.mu.Unlock()
			return nil, fmt.Errorf("open %s: %w", room, ErrNotJoined)
		}
		news := c.news
		c.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
			return nil, fmt.Errorf("open %s: waiting for the homeserver: %w", room, ctx.Err())
		}
	}
}

// Close leaves all calls, closes all rooms and waits until everything has
// ended. When ctx ends first, what is not yet left is abandoned: the error
// says so. The last save of a Store has 5 s, whatever ctx says.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	c.changed()
	var open []*Room
	for _, e := range c.rooms {
		if e.room != nil {
			open = append(open, e.room)
		}
	}
	c.mu.Unlock()

	errs := make([]error, len(open))
	var wg sync.WaitGroup
	for i, r := range open {
		wg.Go(func() { errs[i] = r.Close(ctx) })
	}
	wg.Wait()
	c.cancel()
	c.wg.Wait()
	if c.opts.Store != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveAtLast)
		defer cancel()
		c.save(ctx)
	}
	return errors.Join(errs...)
}

// changed wakes those who wait in Open. Call with mu held.
func (c *Client) changed() {
	close(c.news)
	c.news = make(chan struct{})
}

// sync hands the batches to their rooms until the sync ends.
func (c *Client) sync() {
	var final error
	down := false
	from, have := c.recall()
	defer c.saves.leave()
	for b, err := range c.hs.Sync(c.ctx, from, have) {
		if c.ctx.Err() != nil || b.Room != "" && !c.saves.begin(c.ctx) {
			continue
		}
		if err == nil && down {
			down = false
			c.log.Info("homeserver answers again")
			c.tell(Note{}, keeper.Reachable{})
		}
		switch {
		case err != nil && IsFinal(err):
			final = err
		case err != nil:
			down = down || isOutage(err)
			c.log.Info("sync", "err", err) // the rooms' streams tell of it
			c.tell(Note{Err: err})
		case b.Room == "":
			c.answered(b.Position)
		default:
			c.batch(b)
		}
	}
	if c.ctx.Err() != nil {
		return
	}
	if final == nil {
		final = errors.New("the sync has ended")
	}
	c.mu.Lock()
	c.err = final
	c.changed()
	c.mu.Unlock()
	c.log.Error("sync has ended", "err", final)
	c.tell(Note{Err: final, Final: true})
}

// answered notes the end of an answer.
func (c *Client) answered(position string) {
	c.mu.Lock()
	if !c.synced {
		c.synced = true
		for _, e := range c.rooms { // also those that were kept and are still joined
			e.known = true
		}
		c.changed()
	}
	c.mu.Unlock()
	c.saves.end(c.ctx, position)
}

// tell tells all open rooms, and the keepers of their calls.
func (c *Client) tell(n Note, inputs ...keeper.Input) {
	c.mu.Lock()
	var open []*Room
	for _, e := range c.rooms {
		if e.room != nil {
			open = append(open, e.room)
		}
	}
	c.mu.Unlock()
	for _, r := range open {
		r.post(func() { r.note(n, inputs) })
	}
}

// batch folds a batch in, or hands it to the goroutine that does.
func (c *Client) batch(b matrixrtc.Batch) {
	for c.ctx.Err() == nil {
		c.mu.Lock()
		e := c.rooms[b.Room]
		if e == nil {
			if b.Left {
				c.mu.Unlock()
				return
			}
			e = &entry{fold: matrixrtc.NewRoom(b.Room, c.opts.Room)}
			c.rooms[b.Room] = e
		}
		e.left, e.known = b.Left, e.known || b.Complete
		e.steps, e.kept = e.steps+1, nil
		r := e.room
		if r == nil {
			e.fold.Apply(b, time.Now())
			if b.Left {
				delete(c.rooms, b.Room)
			}
			c.changed()
		}
		c.mu.Unlock()
		if r == nil || r.post(func() { r.apply(b) }) {
			return
		}
		<-r.ended // and the fold is ours again
	}
}

// reclaim takes the fold back from a room that has ended.
func (c *Client) reclaim(id matrixrtc.RoomID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.rooms[id]
	e.room = nil
	if e.left {
		delete(c.rooms, id)
	}
}
