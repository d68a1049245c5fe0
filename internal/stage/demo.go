package stage

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/samples"
	"github.com/matrixrtc-go/matrixrtc/media"
	"github.com/matrixrtc-go/matrixrtc/server/web"
)

// demoDelay is how long a member of the demo may be silent before the leave that
// waits for it is sent, so that one who crashes is gone while people watch. The
// memberships themselves hold for hours.
const demoDelay = 6 * time.Second

// switchFires is by when after a crash the leave must have been seen, on a machine
// that is busy.
const switchFires = demoDelay + 20*time.Second

// The play, in time since everyone has joined. It begins anew every round.
const (
	bobLeaves    = 6 * time.Second
	carolCrashes = 9 * time.Second
	bobReturns   = 12 * time.Second
	carolReturns = 40 * time.Second
	round        = 60 * time.Second
)

// Rates of the samples, in frames per second.
const (
	toneRate    = 50
	pictureRate = 15
)

// Demo is the play that `matrixrtc demo` shows: three members find each other
// through the room alone, in two dialects, and exchange media; a fourth states
// an application and a transport that nobody knows.
type Demo struct {
	stage *Stage
	say   func(string)

	alice, bob, carol, dora *Participant
	began                   time.Time
	crashed                 time.Time // carol, last
}

// NewDemo registers the members. say is told what they do; it may be nil.
func (s *Stage) NewDemo(ctx context.Context, say func(string)) (*Demo, error) {
	if say == nil {
		say = func(string) {}
	}
	d := &Demo{stage: s, say: say}
	for _, c := range []struct {
		into **Participant
		role Role
	}{
		{&d.alice, Role{Name: "alice", Dialect: matrixrtc.Call, Intent: "video", Sources: toneAndPicture}},
		{&d.bob, Role{Name: "bob", Dialect: matrixrtc.Draft, Intent: "audio", Sources: tone}},
		{&d.carol, Role{Name: "carol", Dialect: matrixrtc.Call}},
		{&d.dora, Role{
			Name: "dora", Dialect: matrixrtc.Draft, Application: "org.example.chess",
			Carrier: json.RawMessage(`{"type":"org.example.carrier_pigeon","loft":3}`),
		}},
	} {
		c.role.Delay = demoDelay
		p, err := s.Cast(ctx, c.role)
		if err != nil {
			return nil, err
		}
		*c.into = p
	}
	return d, nil
}

func tone() []media.Source { return []media.Source{samples.Tone(true)} }

func toneAndPicture() []media.Source {
	return []media.Source{samples.Tone(true), samples.Picture(true)}
}

// Participants are the members in the order in which they join.
func (d *Demo) Participants() []*Participant {
	return []*Participant{d.alice, d.bob, d.carol, d.dora}
}

// Join lets everyone join and returns when each finds the others by computing
// the session.
func (d *Demo) Join(ctx context.Context) error {
	for _, p := range d.Participants() {
		if err := p.Join(ctx); err != nil {
			return err
		}
		d.say(p.Name() + " has joined")
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !d.complete() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("not everyone finds the others: %w", ctx.Err())
		case <-tick.C:
		}
	}
	d.began = time.Now()
	return nil
}

// complete reports whether everyone, the onlooker included, computes the call
// of three and the session of one.
func (d *Demo) complete() bool {
	views := [][]*matrixrtc.Session{d.stage.Sessions()}
	for _, p := range d.Participants() {
		views = append(views, p.Sessions())
	}
	for _, sessions := range views {
		if len(sessions) != 2 || sessions[0].Devices() != 3 || sessions[1].Devices() != 1 {
			return false
		}
	}
	return true
}

// Play plays until ctx ends: members leave, come back and crash. It returns an
// error if one of them could not do what it should.
func (d *Demo) Play(ctx context.Context) error {
	for start := d.began; ; start = start.Add(round) {
		for _, act := range []struct {
			at  time.Duration
			do  func(context.Context) error
			say string
		}{
			{bobLeaves, d.bob.Leave, "bob leaves"},
			{carolCrashes, d.crash, fmt.Sprintf("carol crashes: nobody is told, but her leave waits at the site and is sent within %.0f s", demoDelay.Seconds())},
			{bobReturns, d.bob.Join, "bob comes back"},
			{bobReturns, d.gone, ""},
			{carolReturns, d.carol.Join, "carol starts again"},
		} {
			if !wait(ctx, time.Until(start.Add(act.at))) {
				return nil
			}
			if act.say != "" {
				d.say(act.say)
			}
			if err := act.do(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		}
		if !wait(ctx, time.Until(start.Add(round))) {
			return nil
		}
	}
}

// crash is carol's, and remembers when.
func (d *Demo) crash(ctx context.Context) error {
	d.crashed = time.Now()
	return d.carol.Crash(ctx)
}

// gone waits until the onlooker does not count carol any more. Only her delayed
// leave can bring that about so early.
func (d *Demo) gone(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for d.counts(d.carol) {
		if time.Since(d.crashed) > switchFires {
			return fmt.Errorf("%w: carol crashed %v ago", ErrGhost, switchFires)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	d.say(fmt.Sprintf("carol's leave was sent for her, %.1f s after she crashed", time.Since(d.crashed).Seconds()))
	return nil
}

func (d *Demo) counts(p *Participant) bool {
	for _, s := range d.stage.Sessions() {
		if _, ok := s.Find(p.Key()); ok {
			return true
		}
	}
	return false
}

func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(max(0, d))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// Show puts the counters of received media on the status page. Call it once
// per second.
func (d *Demo) Show(now time.Time) {
	var flows []web.Flow
	for _, p := range d.Participants() {
		byMember := map[matrixrtc.MemberKey]*web.Flow{}
		for flow, t := range p.Received() {
			f := byMember[flow.From]
			if f == nil {
				f = &web.Flow{To: p.Key(), From: flow.From}
				byMember[flow.From] = f
			}
			f.Bytes += t.Bytes
			if flow.Kind == media.Audio {
				f.AudioPackets += t.Frames
			} else {
				f.VideoFrames += t.Frames
			}
		}
		for _, f := range byMember {
			flows = append(flows, *f)
		}
	}
	d.stage.board.Media(now, d.stage.room, flows...)
}

// Verdict is what one participant received of one source of another, against
// what it should have.
type Verdict struct {
	To, From string
	Kind     media.Kind
	// Got counts whole frames, Lost packets that never came. Want is what the
	// source sent while both were in the call, less the time to connect.
	Got, Lost, Want uint64
	OK              bool
}

// Verdicts hold what arrived against the play. Sorted by receiver, then sender.
func (d *Demo) Verdicts(now time.Time) []Verdict {
	var out []Verdict
	for _, to := range []*Participant{d.alice, d.bob, d.carol} {
		got := to.Received()
		for _, from := range []struct {
			p    *Participant
			kind media.Kind
			rate float64
		}{{d.alice, media.Audio, toneRate}, {d.alice, media.Video, pictureRate}, {d.bob, media.Audio, toneRate}} {
			if from.p == to {
				continue
			}
			t := got[Flow{from.p.Key(), from.kind}]
			v := Verdict{To: to.Name(), From: from.p.Name(), Kind: from.kind, Got: t.Frames, Lost: t.Lost}
			v.Want = uint64(together(to, from.p, now).Seconds() * from.rate)
			// On a busy machine packets are late or lost; half of them is media
			// that flows, none is not.
			v.OK = v.Got*2 >= v.Want && (v.Got > 0 || v.Want == 0)
			out = append(out, v)
		}
	}
	slices.SortStableFunc(out, func(a, b Verdict) int { return cmp.Or(cmp.Compare(a.To, b.To), cmp.Compare(a.From, b.From)) })
	return out
}

// settle is the time that a stay may take to bring its first media.
const settle = 2 * time.Second

// together is how long both were in the call at once, less settle for each time.
func together(a, b *Participant, now time.Time) (sum time.Duration) {
	for _, x := range a.staysUntil(now) {
		for _, y := range b.staysUntil(now) {
			from, to := x.start, x.end
			if y.start.After(from) {
				from = y.start
			}
			if y.end.Before(to) {
				to = y.end
			}
			if d := to.Sub(from) - settle; d > 0 {
				sum += d
			}
		}
	}
	return sum
}

// staysUntil are the participant's times in the call; one that lasts ends now.
func (p *Participant) staysUntil(now time.Time) []stay {
	p.mu.Lock()
	defer p.mu.Unlock()
	stays := slices.Clone(p.stays)
	for i := range stays {
		if stays[i].end.IsZero() {
			stays[i].end = now
		}
	}
	return stays
}

var (
	// ErrNoMedia: a participant did not receive what it should.
	ErrNoMedia = errors.New("media did not arrive as it should")
	// ErrGhost: a member that is not there any more is still counted.
	ErrGhost = errors.New("the delayed leave of a member that crashed was not sent")
)
