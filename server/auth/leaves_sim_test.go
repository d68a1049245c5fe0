package auth

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
)

var leavesSeed = flag.Uint64("leaves.seed", 0, "play this one story of delayed leaves, and tell it")

// storiesEnv is how many stories are played.
const storiesEnv = "MATRIXRTC_LEAVES_STORIES"

// Replicas on one store look after the leaves of clients who come, go, crash and come
// back, while replicas, store, homeserver and SFU fail: sim_check_test.go says what
// must hold all the same.
func TestLeaveStories(t *testing.T) {
	t.Parallel()
	first, n := uint64(1), uint64(200)
	if *leavesSeed != 0 {
		first, n = *leavesSeed, 1
	} else if text := os.Getenv(storiesEnv); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	var wrong []uint64
	for seed := first; seed < first+n && len(wrong) < 10; seed++ {
		var w *world
		synctest.Test(t, func(*testing.T) {
			w = newWorld(seed, *leavesSeed != 0)
			w.play()
			w.locked(w.check)
		})
		if len(w.wrong) > 0 {
			wrong = append(wrong, seed)
			t.Errorf("story %d (%s):\n%s", seed, w.what, strings.Join(w.wrong[:min(len(w.wrong), 5)], "\n"))
		}
		if w.loud {
			t.Log(strings.Join(w.notes, "\n"))
		}
	}
	if len(wrong) > 0 {
		t.Errorf("stories %v went wrong; -leaves.seed=%d tells the first", wrong, wrong[0])
	}
}

// landing is a change of the store, and by whom.
type landing struct {
	at, asked time.Time
	by        *port
	job       leave.Job // as it is then, or was, if it is
	gone      bool
	withdrawn bool // somebody withdrew it
}

// world is one story.
type world struct {
	seed   uint64
	what   string
	start  time.Time
	faults time.Duration // after start there are none any more
	calm   bool          // there are none at all
	lossy  bool          // the store fails now and then, which costs nothing but moments
	own    bool          // the SFU is embedded: it starts and ends with the replica
	rules  leave.Rules

	store    jobs.Store
	hs       *simHomeserver
	sfu      *simSFU
	replicas []*replica
	people   []string
	going    sync.WaitGroup

	mu      sync.Mutex
	counts  map[string]uint64
	history map[string][]landing   // by participant
	seen    map[string][]leave.End // by delegation
	wrong   []string
	loud    bool
	notes   []string
}

func newWorld(seed uint64, loud bool) *world {
	w := &world{
		seed: seed, loud: loud, start: time.Now(), store: jobs.Memory(), counts: map[string]uint64{},
		history: map[string][]landing{}, seen: map[string][]leave.End{},
	}
	dice := w.dice("world")
	w.calm, w.own = dice.IntN(5) == 0, dice.IntN(4) == 0
	w.faults = between(dice, 30*time.Second, 4*time.Minute)
	w.rules = leave.Rules{Grace: leaveGrace, Back: leaveBack, Check: []time.Duration{0, 0, 30 * time.Second}[dice.IntN(3)]}
	if w.own {
		w.rules.Check = time.Minute
	}
	w.hs = &simHomeserver{w: w, events: map[string]*withheld{}}
	w.sfu = &simSFU{
		w: w, up: true, there: map[string]*conn{}, all: map[string][]*conn{}, missed: map[string]bool{},
	}
	replicas, nodes := 1, 1
	if !w.own {
		replicas += dice.IntN(3)
		nodes += dice.IntN(2)
	}
	for range nodes {
		w.sfu.queues = append(w.sfu.queues, make(chan said, 1000))
	}
	for i := range replicas {
		w.replicas = append(w.replicas, &replica{w: w, n: i, ambush: make(chan struct{}, 1)})
	}
	for i := range 1 + dice.IntN(4) {
		w.people = append(w.people, fmt.Sprint("user", i))
	}
	w.lossy = !w.calm && dice.IntN(4) == 0
	if !w.calm {
		w.hs.moody = dice.IntN(4) == 0
		if dice.IntN(2) == 0 {
			w.hs.faults = w.weather("homeserver", 4, refused, deaf, silent, slow, slow, flaky, busy)
		}
		if dice.IntN(2) == 0 {
			w.sfu.ask = w.weather("questions", 5, refused, silent, slow, slow, slow, flaky)
		}
		if !w.own && dice.IntN(2) == 0 {
			w.sfu.hook = w.weather("reports", 3, refused, deaf, slow, flaky)
		}
		if dice.IntN(3) > 0 {
			all := w.weather("store", 3, refused, deaf, silent, slow, flaky)
			for _, r := range w.replicas {
				if r.store = all; dice.IntN(2) == 0 {
					r.store = w.weather("line of "+fmt.Sprint(r.n), 4, refused, deaf, silent, slow, flaky)
				}
			}
		}
	}
	w.what = fmt.Sprintf("%d replicas, %d people, calm %v, embedded %v, check %v", replicas, len(w.people), w.calm, w.own, w.rules.Check)
	return w
}

// play plays the story to its end: when faults are over and all have left, there is
// time for all that has to come of it.
func (w *world) play() {
	ctx, end := context.WithCancel(context.Background())
	for _, queue := range w.sfu.queues {
		w.going.Go(func() { w.sfu.tell(ctx, queue) })
	}
	for _, r := range w.replicas {
		r.begin(w.own)
	}
	var scripts sync.WaitGroup
	for _, r := range w.replicas {
		scripts.Go(r.script)
	}
	if !w.own && !w.calm {
		scripts.Go(w.sfu.script)
	}
	for _, who := range w.people {
		scripts.Go((&client{w: w, who: who, dice: w.dice(who)}).script)
	}
	scripts.Wait()
	quiet := time.Now()
	time.Sleep(2*time.Minute + w.longest())
	w.locked(func() { w.checkGhosts(quiet) })
	// Who starts looks for everybody, also for those of whom the SFU could say nothing.
	for _, r := range w.replicas {
		r.stop(false)
		r.begin(w.own)
	}
	time.Sleep(2 * time.Minute)
	synctest.Wait()
	w.locked(w.checkStore)
	for _, r := range w.replicas {
		r.stop(false)
	}
	end()
	w.going.Wait()
}

// longest is the longest delay.
func (w *world) longest() (d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.hs.events {
		d = max(d, e.delay)
	}
	return d
}

func (w *world) locked(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// note is called with the lock.
func (w *world) note(format string, args ...any) {
	if w.loud {
		w.notes = append(w.notes, fmt.Sprintf("%12v  ", time.Since(w.start))+fmt.Sprintf(format, args...))
	}
}

// fail says that something must not be.
func (w *world) fail(at time.Time, format string, args ...any) {
	w.wrong = append(w.wrong, fmt.Sprintf("  at %v: ", at.Sub(w.start))+fmt.Sprintf(format, args...))
}

func (w *world) put(by *port, r jobs.Record, asked time.Time) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v, err := w.store.Put(context.Background(), r)
	if err != nil {
		return v, err
	}
	l := landing{at: time.Now(), asked: asked, by: by}
	if err := json.Unmarshal(r.Data, &l.job); err != nil {
		return v, err
	}
	w.history[l.job.Identity] = append(w.history[l.job.Identity], l)
	if l.job.Asked || len(w.history[l.job.Identity])%16 == 0 || l.job.Pending.Equal(asked) && l.job.Delay >= time.Minute {
		select {
		case by.by.ambush <- struct{}{}:
		default:
		}
	}
	w.note("%s: %s stores %s %s, SID %q, asked %v, next in %v", l.job.Identity, by.name(), l.job.DelayID, l.job.State, l.job.SID, l.job.Asked, time.Until(l.job.At))
	return v, nil
}

func (w *world) delete(by *port, key string, version int64, withdrawn bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.store.Delete(context.Background(), key, version); err != nil {
		return err
	}
	_, who, _ := strings.Cut(key, "\x00")
	list := w.history[who]
	last := list[len(list)-1]
	w.history[who] = append(list, landing{at: time.Now(), by: by, job: last.job, gone: true, withdrawn: withdrawn})
	w.note("%s: %s deletes %s, withdrawn %v", who, by.name(), last.job.DelayID, withdrawn)
	return nil
}

// all are the records, in order.
func (w *world) all() []jobs.Record {
	var list []jobs.Record
	_ = w.store.All(context.Background(), func(r jobs.Record) bool { list = append(list, r); return true })
	slices.SortFunc(list, func(a, b jobs.Record) int { return strings.Compare(a.Key, b.Key) })
	return list
}

// delegateTo hands a leave over to any replica, as a client does who is told to try again.
func (w *world) delegateTo(name string, e *withheld) error {
	run := w.replicas[w.dice("to "+name).IntN(len(w.replicas))].running()
	if run == nil {
		return errCut
	}
	err := run.leaves.delegate(context.Background(), leaveOf(e.who, e.id, e.delay))
	if run.dead() {
		return errors.Join(err, errCut)
	}
	return err
}
