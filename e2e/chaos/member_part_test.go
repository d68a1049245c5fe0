//go:build linux

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/samples"
	"github.com/matrixrtc-go/matrixrtc/livekit"
	"github.com/matrixrtc-go/matrixrtc/media"
)

// memberPart is a participant: packages client, homeserver and livekit as any
// program would put them together, and reports of all that they tell.
func memberPart(out *reporter) handler {
	return &memberHandler{out: out, ears: map[string]*ear{}, shown: map[media.Track]bool{}, born: time.Now()}
}

type memberHandler struct {
	out  *reporter
	born time.Time

	mu     sync.Mutex
	as     casting
	client *client.Client
	room   *client.Room
	call   *client.Call
	ears   map[string]*ear
	shown  map[media.Track]bool // what an application would play
	wg     sync.WaitGroup
	hush   context.CancelFunc // ends the reports of what is heard
}

// casting says who a participant is.
type casting struct {
	Credentials homeserver.Credentials `json:"credentials"`
	Room        matrixrtc.RoomID       `json:"room"`
	Dialect     matrixrtc.DialectName  `json:"dialect"`
	Service     string                 `json:"service"` // URL of the authorization service
	Delay       time.Duration          `json:"delay"`
	Expires     time.Duration          `json:"expires"`
	Refresh     time.Duration          `json:"refresh"`
	Media       bool                   `json:"media"`
	Publish     bool                   `json:"publish"`
}

// clocks is what both clocks of a process say.
type clocks struct {
	Wall      time.Time     `json:"wall"`
	Monotonic time.Duration `json:"monotonic"`
}

func (h *memberHandler) do(ctx context.Context, what string, raw json.RawMessage) (any, error) {
	switch what {
	case "clocks":
		return clocks{time.Now().Round(0), time.Since(h.born)}, nil
	case "start":
		if err := json.Unmarshal(raw, &h.as); err != nil {
			return nil, err
		}
		return nil, h.start(ctx)
	case "join":
		return nil, h.join(ctx)
	case "leave":
		h.mu.Lock()
		call := h.call
		h.mu.Unlock()
		if call == nil {
			return nil, errors.New("not in a call")
		}
		return nil, call.Leave(ctx)
	}
	return nil, fmt.Errorf("unknown order %q", what)
}

// start logs in and follows the room.
func (h *memberHandler) start(ctx context.Context) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	hs, err := homeserver.Open(h.as.Credentials, &homeserver.Options{Logger: log})
	if err != nil {
		return err
	}
	opts := &client.Options{Logger: log}
	if h.as.Media {
		opts.Connectors = []media.Connector{livekit.New(hs, nil)}
	}
	c := client.New(hs, opts)
	room, err := c.Open(ctx, h.as.Room)
	if err != nil {
		return errors.Join(err, c.Close(ctx))
	}
	talk, hush := context.WithCancel(context.Background())
	h.mu.Lock()
	defer h.mu.Unlock()
	h.client, h.room, h.hush = c, room, hush
	h.wg.Go(func() { h.read(room) })
	h.wg.Go(func() { h.listen(talk) })
	return nil
}

func (h *memberHandler) join(ctx context.Context) error {
	o := &client.JoinOptions{
		Dialect:    dialects[h.as.Dialect],
		Transports: []matrixrtc.Transport{matrixrtc.LiveKitTransport(h.as.Service, string(h.as.Room))},
		Expires:    h.as.Expires, Refresh: h.as.Refresh, Delay: h.as.Delay, NoMedia: !h.as.Media,
	}
	call, err := h.room.Join(ctx, o)
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.call = call
	h.mu.Unlock()
	if h.as.Publish {
		_, err = call.Publish(ctx, samples.Tone(true))
	}
	return err
}

// read reports what the room's stream tells, until it ends.
func (h *memberHandler) read(room *client.Room) {
	for u := range room.Updates() {
		switch u := u.(type) {
		case client.Changed:
			h.view(room, u.Change)
		case client.Own:
			h.out.tell(report{Kind: "own", State: string(u.State), Err: text(u.Err), Until: u.Until})
		case client.Refreshed:
			h.out.tell(report{Kind: "refreshed", Until: u.Until})
		case client.Connection:
			h.out.tell(report{Kind: "connection", State: string(u.State), Err: text(u.Err)})
		case client.Note:
			h.out.tell(report{Kind: "note", Err: text(u.Err)})
		case client.TrackAdded:
			h.show(u.Track, true)
			h.wg.Go(func() { h.hear(u) })
		case client.TrackEnded:
			h.show(u.Track, false)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// view reports who is in after a step. Steps that are in one batch are one to
// everybody who looks, so that what is reported is the end of it.
func (h *memberHandler) view(room *client.Room, c matrixrtc.Change) {
	cause := ""
	switch c := c.(type) {
	case matrixrtc.MemberJoined:
		cause = "joined " + nameOf(c.Member.User)
	case matrixrtc.MemberLeft:
		cause = "left " + nameOf(c.Member.User) + " (" + string(c.Cause) + ")"
	default:
		return
	}
	h.out.tell(report{Kind: "view", Members: membersOf(room.Sessions()), Cause: cause})
}

// membersOf names all members of all sessions, a device that is listed twice
// twice.
func membersOf(sessions []*matrixrtc.Session) []string {
	names := []string{}
	for _, s := range sessions {
		for m := range s.All() {
			names = append(names, nameOf(m.User))
		}
	}
	return names
}

// nameOf is who a user is in the scenario: @alice-7:server is alice.
func nameOf(user matrixrtc.UserID) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(string(user), "@"), ":")
	name, _, _ = strings.Cut(name, "-")
	return name
}

// show notes that a track is, or is no more, one that an application would play.
func (h *memberHandler) show(t media.Track, is bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.shown[t] = is
}

// ear counts what comes from one member.
type ear struct {
	frames int
	last   time.Time
	gap    time.Duration // the longest since the last report
}

// hear reads a track to its end.
func (h *memberHandler) hear(u client.TrackAdded) {
	if u.Member == nil {
		return
	}
	from := nameOf(u.Member.User)
	frames, err := media.NewReader(u.Track)
	if err != nil {
		return
	}
	for {
		if _, err := frames.Next(); err != nil {
			return
		}
		now := time.Now()
		h.mu.Lock()
		if !h.shown[u.Track] {
			h.mu.Unlock()
			return // its member is gone, whatever still comes
		}
		e := h.ears[from]
		if e == nil {
			e = &ear{last: now}
			h.ears[from] = e
		}
		e.gap = max(e.gap, now.Sub(e.last))
		e.frames, e.last = e.frames+1, now
		h.mu.Unlock()
	}
}

// listen reports what is heard, often enough to say when it stopped.
func (h *memberHandler) listen(ctx context.Context) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			h.mu.Lock()
			for from, e := range h.ears {
				gap := max(e.gap, now.Sub(e.last))
				e.gap = 0
				h.out.tell(report{Kind: "heard", From: from, Frames: e.frames, GapMS: gap.Milliseconds()})
			}
			h.mu.Unlock()
		}
	}
}

func (h *memberHandler) close() {
	h.mu.Lock()
	c, hush := h.client, h.hush
	h.mu.Unlock()
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = c.Close(ctx)
	hush()
	h.wg.Wait()
}
