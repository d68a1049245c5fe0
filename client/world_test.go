package client_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/media"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// world is a homeserver and SFUs in memory, and one room, inside a bubble in
// which hours pass in no time.
type world struct {
	t    *testing.T
	hs   *rtctest.Homeserver
	hub  *rtctest.Hub
	room matrixrtc.RoomID
	zero time.Time
}

// bubble runs a test in which the homeserver offers the SFU "a" and the users
// are joined to the room.
func bubble(t *testing.T, users string, f func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, hs: rtctest.NewHomeserver(), hub: rtctest.NewHub(), zero: time.Now()}
		var ids []matrixrtc.UserID
		for _, u := range strings.Fields(users) {
			ids = append(ids, rtctest.User(u))
		}
		w.room = w.hs.CreateRoom(ids...)
		w.hs.Offer(rtctest.SFU("a"))
		f(t, w)
	})
}

// person is a device that has opened the room and reads its stream.
type person struct {
	*client.Client
	w    *world
	name string
	room *client.Room

	mu      sync.Mutex
	updates []client.Update
	lines   []string
	reader  sync.WaitGroup
}

func (w *world) device(name string) *rtctest.Device {
	return w.hs.Device(rtctest.User(name), matrixrtc.DeviceID(strings.ToUpper(name)))
}

func (w *world) enter(name string, opts *client.Options) *person {
	w.t.Helper()
	if opts == nil {
		opts = &client.Options{}
	}
	if opts.Connectors == nil {
		opts.Connectors = []media.Connector{w.hub}
	}
	p := &person{Client: client.New(w.device(name), opts), w: w, name: name}
	w.t.Cleanup(p.close)
	var err error
	if p.room, err = p.Open(w.t.Context(), w.room); err != nil {
		w.t.Fatal(err)
	}
	updates := p.room.Updates()
	p.reader.Go(func() { // close waits
		for u := range updates {
			p.mu.Lock()
			p.updates = append(p.updates, u)
			p.lines = append(p.lines, w.line(u))
			p.mu.Unlock()
		}
	})
	return p
}

// close is how most tests end: everything left, and nothing running.
func (p *person) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		p.w.t.Errorf("%s: close: %v", p.name, err)
	}
	p.reader.Wait()
}

// short is a membership as the demo has it.
func short() *client.JoinOptions {
	return &client.JoinOptions{Expires: 15 * time.Second, Refresh: 5 * time.Second, Random: zeros{}}
}

// zeros is no chance at all.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func (p *person) join(opts *client.JoinOptions) *client.Call {
	p.w.t.Helper()
	c, err := p.room.Join(p.w.t.Context(), opts)
	if err != nil {
		p.w.t.Fatalf("%s: %v", p.name, err)
	}
	return c
}

// line is an update in words.
func (w *world) line(u client.Update) string {
	s := ""
	switch u := u.(type) {
	case client.Changed:
		switch ch := u.Change.(type) {
		case matrixrtc.MemberJoined:
			s = nameOf(ch.Member) + " joined"
		case matrixrtc.MemberUpdated:
			s = nameOf(ch.Member) + " updated"
		case matrixrtc.MemberLeft:
			s = nameOf(ch.Member) + " left: " + string(ch.Cause)
		default:
			s = strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", ch), "matrixrtc."))
		}
	case client.Own:
		s = "own " + string(u.State)
		if u.Err != nil {
			s += ": " + u.Err.Error()
		}
	case client.Connection:
		s = "sfu " + sfu(u.Transport) + " " + string(u.State)
	case client.PeerJoined:
		s = "peer " + peer(u.From) + " joined"
	case client.PeerLeft:
		s = "peer " + peer(u.From) + " left"
	case client.TrackAdded:
		s = "track of " + peer(u.From) + " added"
	case client.TrackEnded:
		s = "track of " + peer(u.From) + " ended"
	case client.MessageReceived:
		s = fmt.Sprintf("message of %s: %s", peer(u.From), u.Message.Data)
	case client.Note:
		s = "note"
		if u.Err != nil {
			s += ": " + u.Err.Error()
		}
	}
	return fmt.Sprintf("%v %s", time.Since(w.zero).Round(time.Millisecond), s)
}

func peer(f client.From) string {
	name := "stranger"
	if f.Member != nil {
		name = nameOf(*f.Member)
	}
	return name + " on " + sfu(f.Transport)
}

func sfu(t matrixrtc.Transport) string {
	for _, name := range []string{"a", "b", "c"} {
		if string(t.Raw) == string(rtctest.SFU(name).Raw) {
			return name
		}
	}
	return string(t.Raw)
}

func nameOf(m matrixrtc.Member) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(string(m.User), "@"), ":")
	return name
}

// story is what the person has been told since the last call of story, without
// the times if they do not matter.
func (p *person) story(times bool) []string {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	lines := slices.Clone(p.lines)
	p.lines = nil
	if !times {
		for i, l := range lines {
			_, lines[i], _ = strings.Cut(l, " ")
		}
	}
	return lines
}

// saw reports whether a line with this text is in the story.
func saw(story []string, text string) bool {
	return slices.ContainsFunc(story, func(l string) bool { return strings.Contains(l, text) })
}

// members lists who is in the room call, as the person computes it.
func (p *person) members() string {
	synctest.Wait()
	var names []string
	for _, s := range p.room.Sessions() {
		for _, m := range s.Members() {
			names = append(names, nameOf(m))
		}
	}
	return strings.Join(names, " ")
}

func (p *person) wantMembers(want string) {
	p.w.t.Helper()
	if got := p.members(); got != want {
		p.w.t.Errorf("%v %s computes %q, want %q", time.Since(p.w.zero), p.name, got, want)
	}
}

// track waits for a track that counts and has not ended.
func (p *person) tracks() []media.Track {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []media.Track
	for _, u := range p.updates {
		switch u := u.(type) {
		case client.TrackAdded:
			list = append(list, u.Track)
		case client.TrackEnded:
			list = slices.DeleteFunc(list, func(t media.Track) bool { return t == u.Track })
		}
	}
	return list
}

// counter is a source whose n-th sample says n, one per second.
type counter struct{ n, limit uint32 }

func (c *counter) Kind() media.Kind       { return media.Audio }
func (c *counter) Codec() media.Codec     { return media.Opus }
func (c *counter) Purpose() media.Purpose { return media.Microphone }
func (c *counter) Next() (media.Sample, error) {
	if c.limit > 0 && c.n == c.limit {
		return media.Sample{}, io.EOF
	}
	c.n++
	return media.Sample{Data: binary.BigEndian.AppendUint32(nil, c.n), Duration: time.Second, Key: true}, nil
}

// count reads the next sample of a counter's track.
func count(t *testing.T, track media.Track) uint32 {
	t.Helper()
	p, err := track.ReadRTP()
	if err != nil {
		t.Fatal(err)
	}
	return binary.BigEndian.Uint32(p.Payload)
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}
