package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/livekit"
	"github.com/matrixrtc-go/matrixrtc/media"
)

// Role is who a participant is and what it does in the call.
type Role struct {
	Name    string
	Dialect matrixrtc.Dialect
	// Intent is what it says it means to send: "audio", "video" or "".
	Intent string
	// Sources makes what it publishes, anew for every stay.
	Sources func() []media.Source
	// Application and Carrier, if set, are an application and a transport that
	// nobody knows: it states them and connects to nothing.
	Application string
	Carrier     json.RawMessage
	// Expires and Refresh are the lifetime that it states, and how often it
	// says so again; zero: the defaults.
	Expires, Refresh time.Duration
	// Delay is how long the site waits for a sign of life before it has the leave
	// sent; zero: the default, negative: it is not asked to.
	Delay time.Duration
	// Frame is told each frame that arrives, from one goroutine per track.
	Frame func(from matrixrtc.MemberKey, track media.Track, f media.Frame)
}

// Participant is one user with one device.
type Participant struct {
	role  Role
	stage *Stage
	acct  *account

	mu     sync.Mutex
	client *client.Client
	room   *client.Room
	call   *client.Call
	done   chan struct{} // closed when the stream of updates has been read
	stays  []stay
	tally  map[Flow]*Tally
	pubs   []media.Publication
	texts  []media.Message
}

// stay is one time in the call; end is zero while it lasts.
type stay struct{ start, end time.Time }

// Flow is media of one kind from one member.
type Flow struct {
	From matrixrtc.MemberKey
	Kind media.Kind
}

// Tally counts what has arrived.
type Tally struct{ Frames, Bytes, Lost uint64 }

// Cast registers a participant, who is not yet in the call.
func (s *Stage) Cast(ctx context.Context, role Role) (*Participant, error) {
	acct, err := s.register(ctx, role.Name)
	if err != nil {
		return nil, err
	}
	if _, err := acct.hs.Join(ctx, string(s.room)); err != nil {
		return nil, fmt.Errorf("%s joins the room: %w", role.Name, err)
	}
	p := &Participant{role: role, stage: s, acct: acct, tally: map[Flow]*Tally{}}
	s.mu.Lock()
	s.cast = append(s.cast, p)
	s.mu.Unlock()
	return p, nil
}

// Name is the name of the role.
func (p *Participant) Name() string { return p.role.Name }

// Key is who the participant is in a session.
func (p *Participant) Key() matrixrtc.MemberKey {
	user, device := p.acct.hs.Self()
	return matrixrtc.MemberKey{User: user, Device: device}
}

// Join joins the call and publishes. It returns when the homeserver has the
// membership and the sources are being sent.
func (p *Participant) Join(ctx context.Context) error {
	if err := p.open(ctx); err != nil {
		return fmt.Errorf("%s opens the room: %w", p.role.Name, err)
	}
	call, err := p.room.Join(ctx, p.options())
	if err != nil {
		return fmt.Errorf("%s joins: %w", p.role.Name, err)
	}
	p.mu.Lock()
	p.call = call
	p.stays = append(p.stays, stay{start: time.Now()})
	p.mu.Unlock()
	if p.role.Sources == nil {
		return nil
	}
	for _, src := range p.role.Sources() {
		pub, err := call.Publish(ctx, src)
		if err != nil {
			return fmt.Errorf("%s publishes %s: %w", p.role.Name, src.Kind(), err)
		}
		p.mu.Lock()
		p.pubs = append(p.pubs, pub)
		p.mu.Unlock()
	}
	return nil
}

func (p *Participant) options() *client.JoinOptions {
	o := &client.JoinOptions{
		Dialect: p.role.Dialect, Intent: p.role.Intent, Expires: p.role.Expires, Refresh: p.role.Refresh, Delay: p.role.Delay,
		Transports: []matrixrtc.Transport{p.stage.Transport()},
	}
	if p.role.Application != "" {
		var carrier struct{ Type string }
		_ = json.Unmarshal(p.role.Carrier, &carrier)
		o.Application = matrixrtc.Application{Type: p.role.Application}
		o.Transports = []matrixrtc.Transport{{Type: carrier.Type, Raw: p.role.Carrier}}
		o.NoMedia = true
	}
	return o
}

// open starts to follow the room, if that is not so already.
func (p *Participant) open(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.room != nil {
		return nil
	}
	c := client.New(p.acct.hs, &client.Options{
		Connectors: []media.Connector{livekit.New(p.acct.hs, &livekit.Options{Logger: p.stage.opts.Logger})},
		Logger:     p.stage.opts.Logger.With("user", p.role.Name),
	})
	room, err := openSoon(ctx, c, p.stage.room)
	if err != nil {
		_ = c.Close(ctx)
		return err
	}
	p.client, p.room, p.done = c, room, make(chan struct{})
	go p.read(room.Updates(), p.done) // shut waits for done
	return nil
}

const (
	// joinLag is how long a homeserver may take to tell of a room that was joined.
	joinLag = 20 * time.Second
	// joinPoll is how often it is looked whether it has.
	joinPoll = 50 * time.Millisecond
)

// openSoon opens a room that was joined a moment ago, which a busy homeserver may
// leave out of its first answers.
func openSoon(ctx context.Context, c *client.Client, id matrixrtc.RoomID) (*client.Room, error) {
	late := time.Now().Add(joinLag)
	for {
		room, err := c.Open(ctx, id)
		if !errors.Is(err, client.ErrNotJoined) || time.Now().After(late) {
			return room, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(joinPoll):
		}
	}
}

// read takes in the room's stream. Each track is read by a goroutine of its
// own, which ends with the track; read ends after all of them.
func (p *Participant) read(updates <-chan client.Update, done chan struct{}) {
	defer close(done)
	var tracks sync.WaitGroup
	defer tracks.Wait()
	for u := range updates {
		switch u := u.(type) {
		case client.TrackAdded:
			if u.Member != nil {
				tracks.Go(func() { p.readTrack(u.Member.MemberKey(), u.Track) })
			}
		case client.MessageReceived:
			p.mu.Lock()
			if len(p.texts) < 1000 {
				p.texts = append(p.texts, u.Message)
			}
			p.mu.Unlock()
		}
	}
}

func (p *Participant) readTrack(from matrixrtc.MemberKey, track media.Track) {
	frames, err := media.NewReader(track)
	if err != nil {
		return
	}
	for {
		f, err := frames.Next()
		if err != nil {
			return
		}
		p.mu.Lock()
		flow := Flow{from, track.Kind()}
		t := p.tally[flow]
		if t == nil {
			t = &Tally{}
			p.tally[flow] = t
		}
		t.Frames++
		t.Bytes += uint64(len(f.Data))
		t.Lost += uint64(f.Lost)
		p.mu.Unlock()
		if p.role.Frame != nil {
			p.role.Frame(from, track, f)
		}
	}
}

// Leave leaves the call; the participant goes on looking at the room.
func (p *Participant) Leave(ctx context.Context) error {
	p.mu.Lock()
	call := p.call
	p.mu.Unlock()
	if call == nil {
		return nil
	}
	err := call.Leave(ctx)
	p.ended()
	return err
}

// Crash ends everything the participant does at once. Nobody is told.
func (p *Participant) Crash(ctx context.Context) error {
	p.mu.Lock()
	call := p.call
	p.mu.Unlock()
	if call != nil {
		call.Abandon()
	}
	p.ended()
	return p.Close(ctx)
}

// ended notes that the present stay is over.
func (p *Participant) ended() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.call != nil {
		p.stays[len(p.stays)-1].end = time.Now()
	}
	p.call, p.pubs = nil, nil
}

// Close leaves, if in the call, and stops to look at the room.
func (p *Participant) Close(ctx context.Context) error {
	p.ended()
	p.mu.Lock()
	c, done := p.client, p.done
	p.client, p.room, p.done = nil, nil, nil
	p.mu.Unlock()
	if c == nil {
		return nil
	}
	err := c.Close(ctx)
	<-done
	return err
}

// Call is the present call, nil while the participant is not in one.
func (p *Participant) Call() *client.Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.call
}

// Sessions are the sessions of the room as this participant computes them; nil
// while it does not look.
func (p *Participant) Sessions() []*matrixrtc.Session {
	p.mu.Lock()
	room := p.room
	p.mu.Unlock()
	if room == nil {
		return nil
	}
	return room.Sessions()
}

// Received is what has arrived so far, from whom.
func (p *Participant) Received() map[Flow]Tally {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make(map[Flow]Tally, len(p.tally))
	for flow, t := range p.tally {
		out[flow] = *t
	}
	return out
}

// Messages are the data messages that have arrived so far.
func (p *Participant) Messages() []media.Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.texts)
}
