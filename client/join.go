package client

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/keeper"
)

// JoinOptions say how to join; the zero value joins the room call as deployed
// clients do.
type JoinOptions struct {
	// Dialect is how the membership is written; nil: matrixrtc.Call.
	Dialect matrixrtc.Dialect
	// Application is what the session is for; zero: m.call.
	Application matrixrtc.Application
	// Slot is the slot, as MakeSlotID builds it for the application; "": the
	// room call, or the unnamed slot of another application.
	Slot matrixrtc.SlotID
	// Intent is what we mean to send: "audio" or "video"; "": not stated.
	Intent string
	// Selection is the focus selection of the state dialects:
	// matrixrtc.SelectMultiSFU (the default) or matrixrtc.SelectOldest.
	Selection string
	// Transports are what we would publish on, best first; nil: what the
	// homeserver offers, or none with NoMedia.
	Transports []matrixrtc.Transport
	// Active is the focus_active of the state dialects, for transports that have
	// one of their own; zero: for LiveKit made of Selection, for others the first
	// transport itself.
	Active matrixrtc.Transport
	// Expires is how long the membership holds without a refresh; zero: 4 h, or
	// 1 h in the sticky dialects. In the state dialects it holds for an hour at
	// most while the homeserver does not hold back a leave of ours. Refresh is how
	// often it is refreshed; zero: half of that.
	Expires, Refresh time.Duration
	// Delay is how long the homeserver waits for a sign of life before it sends
	// our leave, where it has delayed events (MSC4140); zero: 20 s; negative: it is
	// not asked to.
	Delay time.Duration
	// ClearMedia allows to join an encrypted room although media is not.
	ClearMedia bool
	// NoMedia states the membership and connects to nothing.
	NoMedia bool
	// Random is where the member id of the sticky dialects comes from, and what
	// spreads the requests of many devices over time; nil: crypto/rand. What reads
	// as zeros spreads nothing.
	Random io.Reader

	jitter uint64
}

// Join states our membership of a slot and connects to its media. It returns
// when the homeserver has accepted the membership; connecting to media goes
// on, see Connection. When ctx ends before that, what may have been sent is
// taken back. opts may be nil.
//
// Errors: ErrEncrypted, ErrSlotClosed, ErrAlreadyJoined, ErrNoTransport, ErrClosed, a
// *matrixrtc.InvalidError if the dialect cannot say it, or what the homeserver
// answered.
func (r *Room) Join(ctx context.Context, opts *JoinOptions) (*Call, error) {
	o := JoinOptions{}
	if opts != nil {
		o = *opts
	}
	m, err := r.membership(ctx, &o)
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	var c *Call
	if !r.do(func() { c, err = r.startCall(m, &o) }) {
		err = ErrClosed
	}
	if err != nil {
		return nil, fmt.Errorf("join %s: %w", m.Slot, err)
	}
	select {
	case <-c.accepted:
		return c, nil
	case <-c.over:
		<-c.done
		return nil, fmt.Errorf("join %s: %w", m.Slot, orErr(c.Err(), ErrLeft))
	case <-ctx.Done():
		r.do(c.beginLeave)
		err := ctx.Err()
		if last := c.lastError(); last != nil {
			err = fmt.Errorf("%w (%w)", last, err)
		}
		return nil, fmt.Errorf("join %s: the homeserver has not accepted the membership: %w", m.Slot, err)
	}
}

// membership builds what the options say, without what the room decides.
func (r *Room) membership(ctx context.Context, o *JoinOptions) (*matrixrtc.Membership, error) {
	if o.Dialect == nil {
		o.Dialect = matrixrtc.Call
	}
	if o.Application.Type == "" {
		o.Application.Type = matrixrtc.AppCall
	}
	if o.Slot == "" {
		o.Slot = matrixrtc.MakeSlotID(o.Application.Type, "")
	}
	if o.Selection == "" {
		o.Selection = matrixrtc.SelectMultiSFU
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	name, ok := strings.CutPrefix(string(o.Slot), o.Application.Type+"#")
	if !ok {
		return nil, fmt.Errorf("slot %q does not belong to the application %q: build it with MakeSlotID", o.Slot, o.Application.Type)
	}
	slot := matrixrtc.MakeSlotID(o.Application.Type, name)
	if slot == matrixrtc.RoomCall {
		name = ""
	}
	if o.Transports == nil && !o.NoMedia {
		ts, err := r.c.hs.Transports(ctx)
		if err != nil {
			return nil, fmt.Errorf("ask the homeserver for its transports: %w", err)
		}
		o.Transports = ts
	}
	user, device := r.c.hs.Self()
	m := &matrixrtc.Membership{
		Room: r.id, Dialect: o.Dialect.Name(), User: user, Device: device,
		Slot: slot, CallID: name, HasCallID: true, Application: o.Application,
		Intent: o.Intent, Selection: o.Selection, Active: o.Active,
	}
	if m.Dialect == matrixrtc.DialectSticky || m.Dialect == matrixrtc.DialectSlot {
		m.LiteralSlot = o.Slot
		id := make([]byte, 18)
		if _, err := io.ReadFull(o.Random, id); err != nil {
			return nil, fmt.Errorf("make a member id: %w", err)
		}
		m.Member = matrixrtc.MemberID(base64.RawURLEncoding.EncodeToString(id))
		m.Key = string(m.Member)
	}
	jitter := make([]byte, 8)
	if _, err := io.ReadFull(o.Random, jitter); err != nil {
		return nil, fmt.Errorf("make a random number: %w", err)
	}
	o.jitter = binary.BigEndian.Uint64(jitter)
	return m, nil
}

// startCall starts a call. It runs on the room's goroutine.
func (r *Room) startCall(m *matrixrtc.Membership, o *JoinOptions) (*Call, error) {
	switch {
	case r.closing:
		return nil, ErrClosed
	case r.left:
		return nil, ErrNotJoined
	case r.fold.Encrypted() && !o.ClearMedia:
		return nil, ErrEncrypted
	case !r.fold.Admits(m):
		return nil, ErrSlotClosed
	case slices.ContainsFunc(r.calls, func(c *Call) bool { return c.slot == m.Slot }):
		return nil, ErrAlreadyJoined
	}
	// The transport that the session makes us use comes first, ours after it
	// (docs/protocol.md R-FOCUS-3).
	own := slices.Clone(o.Transports)
	if s := r.fold.Session(m.Slot); s != nil {
		if t, ok := s.PublishOn(o.Selection, own); ok {
			own = slices.DeleteFunc(own, func(x matrixrtc.Transport) bool { return transportKey(x) == transportKey(t) })
			own = slices.Insert(own, 0, t)
		}
	}
	if len(own) == 0 && !o.NoMedia {
		return nil, ErrNoTransport
	}
	m.Transports = own
	switch {
	case m.Member != "":
		// The sticky dialects have no active focus; they say what we can receive.
		m.CanSubscribe = r.canSubscribe(own)
	case m.Active.IsZero():
		if len(own) == 0 || matrixrtc.TransportKind(own[0].Type) == matrixrtc.TransportLiveKit {
			m.Active = matrixrtc.FocusLiveKit(o.Selection)
		} else {
			m.Active = own[0]
		}
	}
	k, err := keeper.New(keeper.Config{
		Dialect: o.Dialect, Version: r.fold.Version(), Membership: m, Lifetime: o.Expires, Refresh: o.Refresh,
		Delay: o.Delay, Jitter: o.jitter,
	})
	if err != nil {
		return nil, err
	}
	c := newCall(r, m, k, o)
	r.calls = append(r.calls, c)
	c.step(keeper.Join{}, time.Now())
	return c, nil
}

// canSubscribe lists the types of transports that we can receive from, as far
// as we have one of that type ourselves.
func (r *Room) canSubscribe(own []matrixrtc.Transport) []string {
	types := []string{}
	for _, t := range own {
		if r.c.connector(t) != nil && !slices.Contains(types, t.Type) {
			types = append(types, t.Type)
		}
	}
	return types
}
