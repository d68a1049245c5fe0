//go:build linux

package chaos

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
)

// run is one scenario on one stack in one dialect: a room, its observer, and
// three participants.
type run struct {
	t        *testing.T
	ctx      context.Context
	stack    *stack
	scenario *scenario
	dialect  dialectName
	log      *transcript

	owner    *homeserver.Client
	room     matrixrtc.RoomID
	observer *observer
	actors   map[string]*actor

	expected map[string]bool // who is in, as far as the scenario says
	calm     time.Time       // since when nobody may see anybody else; zero: not so
	steady   []string        // those whom everybody must see meanwhile; nil: exactly those who are expected
	hearing  []hearing
	verdicts []verdict

	mu sync.Mutex
	// witnesses are the observer and all lives of the participants.
	witnesses []*witness
}

// actor is a participant's account with its place on the wire, and the process
// that plays it at present.
type actor struct {
	r     *run
	name  string
	host  *host
	creds homeserver.Credentials

	mu        sync.Mutex
	part      *part    // nil: nobody plays it
	view      *witness // of this part
	own       []report
	heard     map[string][]heard
	exchanges []*exchange
	silent    time.Time // when it was killed or cut off
}

type heard struct {
	at     time.Time
	frames int
	gap    time.Duration
}

// names are the participants of every scenario. alice is the one who publishes.
var names = []string{"alice", "bob", "carol"}

// newRun makes the room and registers everybody.
func newRun(t *testing.T, ctx context.Context, s *stack, sc *scenario, dialect dialectName, names ...string) *run {
	t.Helper()
	title := fmt.Sprintf("%s: %s, memberships in dialect %s; delay %v", sc.name, s.server, dialect, sc.delay())
	r := &run{
		t: t, ctx: ctx, stack: s, scenario: sc, dialect: dialect, log: newTranscript(title + "\n" + sc.says),
		actors: map[string]*actor{}, expected: map[string]bool{},
	}
	n := s.number()
	register := func(name string) *homeserver.Client {
		c, err := homeserver.Register(ctx, s.tap.url(), homeserver.Registration{
			User: fmt.Sprintf("%s-%d", name, n), Password: rand.Text(), Device: matrixrtc.DeviceID(strings.ToUpper(name)),
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	r.owner = register("owner")
	var err error
	if r.room, err = r.owner.CreateRoom(ctx, homeserver.NewRoom{Name: sc.name, Public: true}); err != nil {
		t.Fatal(err)
	}
	enter := func(c *homeserver.Client) {
		if _, err := c.Join(ctx, string(r.room)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names {
		c := register(name)
		enter(c)
		h, err := s.wire.plug(ctx, fmt.Sprintf("%s-%d-%s", s.name, n, name))
		if err != nil {
			t.Fatal(err)
		}
		a := &actor{r: r, name: name, host: h, creds: c.Credentials(), heard: map[string][]heard{}}
		s.tap.listen(h.addr, a.creds.UserID, a.exchanged)
		r.actors[name] = a
		t.Cleanup(a.end)
	}
	eyes := register("observer")
	enter(eyes)
	r.observer = observe(eyes, r.room, r.log)
	t.Cleanup(r.observer.close)
	r.watch(r.observer.witness)
	return r
}

// watch adds a witness.
func (r *run) watch(w *witness) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.witnesses = append(r.witnesses, w)
}

func (r *run) allWitnesses() []*witness {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.witnesses)
}

// lastWords writes down what the processes wrote last, about this room or none,
// and how the machine was.
func (r *run) lastWords() {
	for _, name := range slices.Sorted(maps.Keys(r.actors)) {
		r.log.words(name, r.actors[name].logs(), r.room)
	}
	r.log.words("the site", r.stack.sitePart().logs.String(), r.room)
	r.log.words("homeserver", r.stack.homeserverLogs(r.ctx), r.room)
	r.log.add("the tests", "%s", r.stack.pulse)
}

// wanted names who should be in.
func (r *run) wanted() []string { return slices.Sorted(maps.Keys(r.expected)) }

// exchanged notes a request of the participant.
func (a *actor) exchanged(e *exchange) {
	a.mu.Lock()
	a.exchanges = append(a.exchanges, e)
	a.mu.Unlock()
	if p, _ := e.purpose(); p != other || e.status >= 400 || e.status == 0 {
		a.r.log.add(a.name, "-> %s", e)
	}
}

// start has a process play the participant.
func (a *actor) start(ctx context.Context) error {
	view := newWitness(a.name)
	p, err := startPart(a.r.stack.wire, a.host, "member", a.name, func(rep report) { a.reported(view, rep) })
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.part, a.view = p, view
	a.mu.Unlock()
	a.r.watch(view)
	sc := a.r.scenario
	return p.do(ctx, "start", casting{
		Credentials: a.creds, Room: a.r.room, Dialect: a.r.dialect, Service: a.r.stack.service(),
		Delay: sc.delay(), Expires: sc.expires, Refresh: sc.refresh, Media: !sc.noMedia, Publish: !sc.noMedia && a.name == "alice",
	}, nil)
}

// reported takes in what the process tells.
func (a *actor) reported(view *witness, rep report) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	switch rep.Kind {
	case "view":
		if view.see(rep.Members, rep.Cause) {
			a.r.log.add(a.name, "sees %s (%s)", list(view.now()), rep.Cause)
		}
	case "own":
		a.own = append(a.own, rep)
		line := "is " + rep.State
		if rep.Err != "" {
			line += ": " + rep.Err
		}
		a.r.log.add(a.name, "%s", line)
	case "refreshed":
		a.r.log.add(a.name, "has stated its membership again")
	case "connection":
		a.r.log.add(a.name, "media: %s %s", rep.State, rep.Err)
	case "note":
		if rep.Err == "" {
			rep.Err = "the homeserver answers again"
		}
		a.r.log.add(a.name, "note: %s", rep.Err)
	case "heard":
		a.heard[rep.From] = append(a.heard[rep.From], heard{now, rep.Frames, time.Duration(rep.GapMS) * time.Millisecond})
	}
}

// state is how the participant says that its own membership stands.
func (a *actor) state() (state, err string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.own) == 0 {
		return "", ""
	}
	last := a.own[len(a.own)-1]
	return last.State, last.Err
}

// process is the part that plays it, nil if none does.
func (a *actor) process() *part {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.part
}

// kill ends the process as kill -9 does.
func (a *actor) kill() {
	p := a.process()
	a.silence()
	p.kill()
	a.mu.Lock()
	a.part = nil
	view := a.view
	a.mu.Unlock()
	view.end()
}

// silence notes that from now on nothing of it reaches the homeserver.
func (a *actor) silence() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.silent = time.Now()
}

// died is when that was noted.
func (a *actor) died() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.silent
}

// end ends the process, if there is one.
func (a *actor) end() {
	if p := a.process(); p != nil {
		p.stop()
		a.mu.Lock()
		a.part = nil
		view := a.view
		a.mu.Unlock()
		view.end()
	}
}

// logs is the end of what the process writes, for transcripts of what failed.
func (a *actor) logs() string {
	if p := a.process(); p != nil {
		return p.logs.String()
	}
	return ""
}

// asked lists the participant's requests for something about memberships, by
// the time of asking.
func (a *actor) asked() []*exchange {
	a.mu.Lock()
	defer a.mu.Unlock()
	sorted := slices.Clone(a.exchanges)
	slices.SortStableFunc(sorted, func(x, y *exchange) int { return x.at.Compare(y.at) })
	return sorted
}
