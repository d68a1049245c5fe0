package leave

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var start = time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)

func newJob(t *testing.T, delay time.Duration) *Job {
	t.Helper()
	j, err := New(Job{
		Room: "room", Identity: "ann", ID: "1", Server: "one.example", User: "@ann:one.example",
		DelayID: "d1", Delay: delay,
	}, start)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// say writes effects as a reader wants them.
func say(effects []Effect) string {
	var out []string
	for _, e := range effects {
		switch e := e.(type) {
		case Look:
			out = append(out, "look")
		case Ask:
			out = append(out, string(e.Action))
		case Forget:
			out = append(out, "end "+string(e.Why))
		}
	}
	return strings.Join(out, ", ")
}

// step is one line of a story: when, what happens, and what comes of it.
type step struct {
	at    time.Duration // after start
	in    Input
	want  string // effects
	state State
	next  time.Duration // At after start; 0 is not looked at
}

func TestStories(t *testing.T) {
	t.Parallel()
	const h, m, s = time.Hour, time.Minute, time.Second
	done := func(a Action, at time.Duration) Done { return Done{a, start.Add(at)} }
	absent := func(at time.Duration) Absent { return Absent{start.Add(at)} }
	for name, c := range map[string]struct {
		delay time.Duration
		rules Rules
		steps []step
	}{
		"seen by the first look, restarted at four fifths, left": {h, Rules{}, []step{
			{0, Due{}, "look", Waiting, 15 * s},
			{s, Present{SID: "A"}, "restart", Connected, 16 * s},
			{s, done(Restart, s), "", Connected, 48*m + s},
			{48*m + s, Due{}, "look", Connected, 48*m + 16*s},
			{48*m + s, Present{SID: "A"}, "restart", Connected, 0},
			{48*m + 2*s, done(Restart, 48*m+s), "", Connected, 96*m + s},
			{50 * m, Left{SID: "A"}, "send", Leaving, 50*m + 15*s},
			{50 * m, done(Send, 50*m), "end sent", Ended, 0},
			{51 * m, Left{SID: "A"}, "", Ended, 0},
		}},
		"a short delay is restarted without a look": {8 * s, Rules{}, []step{
			{0, Joined{"A"}, "restart", Connected, 7600 * time.Millisecond},
			{0, done(Restart, 0), "", Connected, 6400 * time.Millisecond},
			{6400 * time.Millisecond, Due{}, "restart", Connected, 7600 * time.Millisecond},
		}},
		"who asked for a restart ends before the answer": {8 * s, Rules{}, []step{
			{0, Joined{"A"}, "restart", Connected, 7600 * time.Millisecond},
			{7600 * time.Millisecond, Due{}, "restart", Connected, 15200 * time.Millisecond},
			{7700 * time.Millisecond, done(Restart, 7600*time.Millisecond), "", Connected, 14 * s},
		}},
		"looks come less and less often, and end": {20 * s, Rules{}, []step{
			{0, Due{}, "look", Waiting, 15 * s},
			{0, absent(0), "", Waiting, s},
			{s, Due{}, "look", Waiting, 16 * s},
			{s, Unseen{}, "", Waiting, 2500 * time.Millisecond},
			{20 * s, Due{}, "send", Leaving, 35 * s},
			{20 * s, Failed{Action: Send}, "", Leaving, 21 * s},
			{21 * s, Due{}, "end given_up", Ended, 0},
		}},
		"nobody is waited for longer than an hour": {5 * h, Rules{}, []step{
			{59 * m, Due{}, "look", Waiting, 59*m + 15*s},
			{59*m + 50*s, Due{}, "look", Waiting, h},
			{h, Due{}, "send", Leaving, h + 15*s},
		}},
		"a failed attempt is not the last": {h, Rules{}, []step{
			{s, Aborted{"A"}, "", Waiting, 0},
			{2 * s, Left{SID: "A"}, "", Waiting, 0},
			{3 * s, Joined{"B"}, "restart", Connected, 0},
		}},
		"what an older connection does means nothing": {h, Rules{}, []step{
			{0, Joined{"B"}, "restart", Connected, 0},
			{s, Left{SID: "A"}, "", Connected, 0},
			{s, Aborted{"A"}, "", Connected, 0},
			{2 * s, Left{SID: "B", Elsewhere: true}, "", Connected, 0},
			{3 * s, Joined{"C"}, "", Connected, 0},
			{4 * s, Left{SID: "B"}, "", Connected, 0},
			{5 * s, Aborted{"C"}, "send", Leaving, 0},
		}},
		"of two connections the SFU says which is there": {h, Rules{}, []step{
			{0, Joined{"B"}, "restart", Connected, 0},
			{0, done(Restart, 0), "", Connected, 48 * m},
			{s, Joined{"A"}, "look", Connected, 16 * s},
			{s, Present{"B", start.Add(s)}, "", Connected, 48 * m},
			{2 * s, Left{SID: "B", Elsewhere: true}, "", Connected, 48 * m},
			{3 * s, Joined{"C"}, "", Connected, 48 * m},
		}},
		"an unknown connection that was aborted is looked for": {h, Rules{}, []step{
			{0, Present{}, "restart", Connected, 0},
			{0, done(Restart, 0), "", Connected, 0},
			{s, Aborted{"A"}, "look", Connected, 0},
			{s, absent(s), "send", Leaving, 0},
		}},
		"an unknown connection has left": {h, Rules{}, []step{
			{0, Present{}, "restart", Connected, 0},
			{s, Left{SID: "A"}, "look", Leaving, 16 * s},
			{s, absent(s), "send", Leaving, 0},
		}},
		"it came while the SFU was asked for it": {h, Rules{}, []step{
			{0, Due{}, "look", Waiting, 15 * s},
			{2 * s, Joined{"A"}, "restart", Connected, 17 * s},
			{2 * s, done(Restart, 2*s), "", Connected, 48*m + 2*s},
			{3 * s, absent(0), "look", Connected, 18 * s},
			{3 * s, Present{SID: "A"}, "", Connected, 48*m + 2*s},
			{4 * s, Aborted{"A"}, "send", Leaving, 0},
		}},
		"an answer from before another connection came": {h, Rules{}, []step{
			{0, Joined{"A"}, "restart", Connected, 0},
			{0, done(Restart, 0), "", Connected, 48 * m},
			{3 * s, Joined{"B"}, "look", Connected, 18 * s},
			{4 * s, Present{"A", start.Add(2 * s)}, "look", Connected, 19 * s},
			{4 * s, Present{"B", start.Add(4 * s)}, "", Connected, 48 * m},
			{5 * s, Left{SID: "B"}, "send", Leaving, 0},
		}},
		"an answer from before it left": {h, Rules{Grace: 2 * s}, []step{
			{0, Joined{"A"}, "restart", Connected, 0},
			{3 * s, Left{SID: "A"}, "", Leaving, 5 * s},
			{4 * s, Present{"B", start.Add(2 * s)}, "", Leaving, 5 * s},
			{4 * s, Present{"B", start.Add(4 * s)}, "restart", Connected, 19 * s},
		}},
		"back within the time of grace": {h, Rules{Grace: 2 * s}, []step{
			{0, Joined{"A"}, "restart", Connected, 0},
			{0, done(Restart, 0), "", Connected, 0},
			{5 * m, Left{SID: "A"}, "", Leaving, 5*m + 2*s},
			{5*m + s, Joined{"B"}, "restart", Connected, 5*m + 16*s},
		}},
		"a report from before comes late": {h, Rules{Grace: 2 * s}, []step{
			{0, Joined{"B"}, "restart", Connected, 0},
			{0, done(Restart, 0), "", Connected, 48 * m},
			{m, Joined{"A"}, "look", Connected, 0},
			{m, Left{SID: "A"}, "", Leaving, m + 2*s},
			{m, absent(m), "", Leaving, m + 2*s},
			{m + 2*s, Due{}, "look", Leaving, m + 17*s},
			{m + 2*s, Present{"B", start.Add(m + 2*s)}, "restart", Connected, 0},
			{m + 3*s, Left{SID: "B"}, "", Leaving, m + 5*s},
			{m + 4*s, Joined{"A"}, "restart", Connected, m + 19*s},
			{m + 4*s, done(Restart, m+4*s), "", Connected, m + 19*s},
			{m + 19*s, Due{}, "look", Connected, 0},
			{m + 19*s, absent(m + 19*s), "", Leaving, m + 21*s},
			{m + 21*s, Due{}, "send", Leaving, 0},
		}},
		"nobody can tell whether a report came late": {h, Rules{Grace: 2 * s}, []step{
			{0, Joined{"B"}, "restart", Connected, 0},
			{s, Joined{"A"}, "look", Connected, 0},
			{s, Left{SID: "A"}, "", Leaving, 3 * s},
			{s, Unseen{start.Add(s)}, "", Leaving, 3 * s},
			{3 * s, Due{}, "look", Leaving, 18 * s},
			{4 * s, Unseen{start.Add(3 * s)}, "send", Leaving, 19 * s},
		}},
		"back too late": {h, Rules{Grace: 2 * s}, []step{
			{0, Joined{"A"}, "restart", Connected, 0},
			{m, Left{SID: "A"}, "", Leaving, m + 2*s},
			{m + 2*s, Due{}, "send", Leaving, m + 17*s},
			{m + 3*s, Joined{"B"}, "", Leaving, 0},
			{m + 3*s, done(Restart, 0), "", Leaving, 0},
			{m + 3*s, done(Send, m), "end sent", Ended, 0},
		}},
		"the check finds nobody": {h, Rules{Check: 30 * s, Grace: 2 * s}, []step{
			{0, Joined{"A"}, "restart", Connected, 0},
			{0, done(Restart, 0), "", Connected, 30 * s},
			{30 * s, Due{}, "look", Connected, 45 * s},
			{30 * s, Unseen{}, "", Connected, 60 * s},
			{60 * s, Due{}, "look", Connected, 0},
			{60 * s, Present{SID: "A"}, "", Connected, 90 * s},
			{90 * s, Due{}, "look", Connected, 0},
			{90 * s, absent(90 * s), "", Leaving, 92 * s},
			{92 * s, Due{}, "send", Leaving, 0},
		}},
		"nobody can tell, so it is restarted": {h, Rules{}, []step{
			{0, Joined{"A"}, "restart", Connected, 0},
			{0, done(Restart, 0), "", Connected, 48 * m},
			{48 * m, Due{}, "look", Connected, 0},
			{48 * m, Unseen{}, "restart", Connected, 0},
		}},
		"the homeserver does not know the leave": {h, Rules{}, []step{
			{0, Joined{"A"}, "restart", Connected, 0},
			{0, Gone{}, "end lost", Ended, 0},
		}},
		"restarts fail until it is too late": {10 * s, Rules{}, []step{
			{0, Joined{"A"}, "restart", Connected, 0},
			{0, Failed{Action: Restart}, "", Connected, s},
			{s, Due{}, "restart", Connected, 0},
			{s, Failed{Action: Restart}, "", Connected, 2500 * time.Millisecond},
			{2500 * time.Millisecond, Due{}, "restart", Connected, 0},
			{3 * s, Failed{Action: Restart, RetryAfter: h}, "", Connected, 9500 * time.Millisecond},
			{9500 * time.Millisecond, Due{}, "restart", Connected, 19 * s},
			{9600 * time.Millisecond, Failed{Action: Restart}, "", Connected, 10 * s},
			{10 * s, Due{}, "end late", Ended, 0},
		}},
		"what was not answered may have been done": {10 * s, Rules{}, []step{
			{0, Joined{"A"}, "restart", Connected, 0},
			{0, done(Restart, 0), "", Connected, 8 * s},
			{8 * s, Due{}, "restart", Connected, 0},
			{9 * s, Failed{Action: Restart, Unanswered: true}, "", Connected, 9500 * time.Millisecond},
			{10 * s, Due{}, "restart", Connected, 19500 * time.Millisecond},
			{11 * s, Failed{Action: Restart, Unanswered: true}, "", Connected, 12500 * time.Millisecond},
			{12500 * time.Millisecond, Due{}, "restart", Connected, 22 * s},
			{12500 * time.Millisecond, Failed{Action: Restart}, "", Connected, 14750 * time.Millisecond},
			{15 * s, Due{}, "restart", Connected, 0},
			{15 * s, Failed{Action: Restart, RetryAfter: h}, "", Connected, 19500 * time.Millisecond},
			{20 * s, Due{}, "end late", Ended, 0},
		}},
		"of two questions the answers count for their own": {10 * s, Rules{}, []step{
			{0, Joined{"A"}, "restart", Connected, 0},
			{0, done(Restart, 0), "", Connected, 8 * s},
			{9400 * time.Millisecond, Due{}, "restart", Connected, 9500 * time.Millisecond},
			{9500 * time.Millisecond, Due{}, "restart", Connected, 0},
			{9600 * time.Millisecond, Failed{Action: Restart, Asked: start.Add(9400 * time.Millisecond)}, "", Connected, 10600 * time.Millisecond},
			{9700 * time.Millisecond, Failed{Action: Restart, Asked: start.Add(9500 * time.Millisecond)}, "", Connected, 10 * s},
			{10 * s, Due{}, "end late", Ended, 0},
		}},
		"an answer that never came is asked for again": {h, Rules{}, []step{
			{0, Joined{"A"}, "restart", Connected, 15 * s},
			{15 * s, Due{}, "look", Connected, 30 * s},
			{30 * s, Due{}, "look", Connected, 45 * s},
			{30 * s, Present{SID: "A"}, "restart", Connected, 45 * s},
		}},
		"the time of a restart counts from its question": {10 * s, Rules{}, []step{
			{0, Joined{"A"}, "restart", Connected, 0},
			{4 * s, done(Restart, 0), "", Connected, 8 * s},
		}},
		"sending waits as long as it is told": {h, Rules{}, []step{
			{0, Joined{"A"}, "restart", Connected, 0},
			{m, Left{SID: "A"}, "send", Leaving, 0},
			{m, Failed{Action: Send, RetryAfter: 10 * m}, "", Leaving, 11 * m},
			{11 * m, Due{}, "send", Leaving, 11*m + 15*s},
			{11 * m, Failed{Action: Send, RetryAfter: h}, "", Leaving, h},
			{h, Due{}, "end given_up", Ended, 0},
		}},
		"after a break the SFU is asked first": {h, Rules{}, []step{
			{0, Joined{"A"}, "restart", Connected, 0},
			{0, done(Restart, 0), "", Connected, 48 * m},
			{5 * m, Recovered{}, "look", Connected, 5*m + 15*s},
			{5 * m, Present{SID: "A"}, "", Connected, 48 * m},
			{6 * m, Recovered{}, "look", Connected, 0},
			{6 * m, absent(6 * m), "send", Leaving, 0},
			{7 * m, Recovered{}, "", Leaving, 0},
		}},
		"after a break the SFU is asked until it answers": {18 * s, Rules{}, []step{
			{0, Joined{"A"}, "restart", Connected, 0},
			{0, done(Restart, 0), "", Connected, 14400 * time.Millisecond},
			{5 * s, Recovered{}, "look", Connected, 18 * s},
			{6 * s, Unseen{}, "", Connected, 14400 * time.Millisecond},
			{14400 * time.Millisecond, Due{}, "restart", Connected, 0},
			{14400 * time.Millisecond, done(Restart, 14400*time.Millisecond), "", Connected, 21 * s},
			{21 * s, Due{}, "look", Connected, 32400 * time.Millisecond},
			{21 * s, absent(21 * s), "send", Leaving, 0},
		}},
		"an SFU that has started with us": {h, Rules{Back: 20 * s}, []step{
			{0, Joined{"A"}, "restart", Connected, 0},
			{0, done(Restart, 0), "", Connected, 48 * m},
			{5 * m, Recovered{Started: true}, "restart", Connected, 5*m + 15*s},
			{5 * m, done(Restart, 5*m), "", Connected, 5*m + 20*s},
			{5*m + 20*s, Due{}, "look", Connected, 5*m + 35*s},
			{5*m + 20*s, absent(5*m + 20*s), "send", Leaving, 0},
		}},
		"the SFU goes down and comes back": {10 * s, Rules{Grace: s, Back: 20 * s}, []step{
			{0, Joined{"A"}, "restart", Connected, 0},
			{0, done(Restart, 0), "", Connected, 8 * s},
			{5 * s, Left{SID: "A", Down: true}, "restart", Connected, 0},
			{5 * s, done(Restart, 5*s), "", Connected, 13 * s},
			{7 * s, Aborted{"B"}, "look", Connected, 0},
			{7 * s, absent(7 * s), "", Connected, 13 * s},
			{13 * s, Due{}, "restart", Connected, 0},
			{13 * s, done(Restart, 13*s), "", Connected, 21 * s},
			{14 * s, Joined{"C"}, "", Connected, 21 * s},
			{15 * s, absent(15 * s), "", Leaving, 16 * s},
			{15500 * time.Millisecond, Joined{"D"}, "restart", Connected, 0},
		}},
		"the SFU goes down and nobody comes back": {10 * s, Rules{Back: 20 * s}, []step{
			{0, Joined{"A"}, "restart", Connected, 0},
			{5 * s, Left{SID: "A", Down: true}, "restart", Connected, 0},
			{13 * s, done(Restart, 13*s), "", Connected, 21 * s},
			{21 * s, Due{}, "restart", Connected, 22500 * time.Millisecond},
			{21 * s, done(Restart, 21*s), "", Connected, 25 * s},
			{25 * s, Due{}, "look", Connected, 0},
			{25 * s, absent(25 * s), "send", Leaving, 0},
		}},
		"the SFU says only after it was asked that it went down": {h, Rules{Grace: s, Back: 20 * s}, []step{
			{0, Joined{"A"}, "restart", Connected, 0},
			{5 * s, Recovered{}, "look", Connected, 0},
			{5 * s, absent(5 * s), "", Leaving, 6 * s},
			{5500 * time.Millisecond, Left{SID: "A", Down: true}, "restart", Connected, 0},
			{6 * s, done(Restart, 6*s), "", Connected, 25500 * time.Millisecond},
			{25500 * time.Millisecond, Due{}, "look", Connected, 0},
		}},
		"what ended before the SFU went down is heard of later": {h, Rules{Back: 20 * s}, []step{
			{0, Joined{"A"}, "restart", Connected, 0},
			{0, done(Restart, 0), "", Connected, 48 * m},
			{5 * s, Left{SID: "A", Down: true}, "restart", Connected, 0},
			{5 * s, done(Restart, 5*s), "", Connected, 25 * s},
			{6 * s, Left{SID: "Z"}, "", Connected, 25 * s},
			{7 * s, Joined{"B"}, "", Connected, 25 * s},
		}},
		"another connection ends with the SFU": {h, Rules{Back: 20 * s}, []step{
			{0, Joined{"A"}, "restart", Connected, 0},
			{0, done(Restart, 0), "", Connected, 48 * m},
			{s, Left{SID: "Z", Down: true}, "", Connected, 48 * m},
		}},
		"after too long a break": {h, Rules{}, []step{
			{0, Joined{"A"}, "restart", Connected, 0},
			{2 * h, Recovered{}, "end late", Ended, 0},
		}},
		"a delay of nearly nothing does not keep anybody busy": {time.Millisecond, Rules{}, []step{
			{0, Joined{"A"}, "restart", Connected, 0},
			{0, done(Restart, 0), "", Connected, time.Millisecond},
			{time.Millisecond, Due{}, "end late", Ended, 0},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := newJob(t, c.delay)
			for i, st := range c.steps {
				got := say(j.Step(c.rules, st.in, start.Add(st.at), 0.5))
				where := fmt.Sprintf("step %d, %T at %v", i, st.in, st.at)
				if got != st.want || j.State != st.state {
					t.Fatalf("%s: %q and %s, want %q and %s", where, got, j.State, st.want, st.state)
				}
				if at := j.At.Sub(start); st.next != 0 && at != st.next {
					t.Fatalf("%s: next at %v, want %v", where, at, st.next)
				}
			}
		})
	}
}

// Where nobody can tell, what the job before knew goes on to hold.
func TestFollow(t *testing.T) {
	t.Parallel()
	old := newJob(t, time.Minute)
	old.Step(Rules{}, Joined{"A"}, start, 0.5)
	for _, c := range []struct {
		steps []Input
		want  string
	}{
		{[]Input{Unseen{}}, "restart"},
		{[]Input{Left{SID: "Z"}, Unseen{}}, "restart"},
		{[]Input{Left{SID: "A"}, Unseen{}}, ""},
		{[]Input{Absent{start}, Unseen{}}, ""},
	} {
		j, got := newJob(t, time.Minute), ""
		j.Follow(old)
		for _, in := range c.steps {
			got = say(j.Step(Rules{}, in, start.Add(time.Second), 0.5))
		}
		if got != c.want {
			t.Errorf("%T: %q, want %q", c.steps, got, c.want)
		}
	}
	old.Step(Rules{}, Left{SID: "A"}, start, 0.5)
	j := newJob(t, time.Minute)
	if j.Follow(old); say(j.Step(Rules{}, Unseen{}, start, 0.5)) != "" {
		t.Error("who has left is there")
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := Job{Room: "r", Identity: "i", ID: "1", Server: "s", DelayID: "d", Delay: time.Second}
	for name, spoil := range map[string]func(*Job){
		"no room": func(j *Job) { j.Room = "" }, "no identity": func(j *Job) { j.Identity = "" }, "no id": func(j *Job) { j.ID = "" },
		"no server": func(j *Job) { j.Server = "" }, "no delay id": func(j *Job) { j.DelayID = "" }, "dots": func(j *Job) { j.DelayID = ".." },
		"another path": func(j *Job) { j.DelayID = "../../x" }, "escaped": func(j *Job) { j.DelayID = "..%2fx" }, "a line": func(j *Job) { j.DelayID = "a\nb" },
		"no delay": func(j *Job) { j.Delay = 0 }, "negative": func(j *Job) { j.Delay = -1 }, "too long": func(j *Job) { j.Delay = MaxDelay + 1 },
	} {
		j := good
		spoil(&j)
		if got, err := New(j, start); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if _, err := New(good, start); err != nil {
		t.Error(err)
	}
}

// Whatever happens in whatever order: a job that is not over has a time at which
// something is done about it, that time is not beyond the deadline by more than a
// lease, at most one thing is asked at a time, and once asked to send it never
// restarts.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3000) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		j := newJob(t, []time.Duration{time.Second, 18 * time.Second, time.Hour, 50 * time.Hour}[rnd.IntN(4)])
		r := Rules{Check: time.Duration(rnd.IntN(2)) * 20 * time.Second, Grace: time.Duration(rnd.IntN(2)) * time.Second, Back: time.Duration(rnd.IntN(2)) * 20 * time.Second}
		now, sent := start, false
		for range 60 {
			sid := string(rune('A' + rnd.IntN(2)))
			now = now.Add(time.Duration(rnd.Int64N(int64(j.Delay / 3))))
			if rnd.IntN(3) == 0 && j.At.After(now) {
				now = j.At
			}
			in := []Input{Due{}, Due{}, Joined{sid}, Left{SID: sid}, Left{SID: sid, Elsewhere: true}, Aborted{sid}, Present{SID: sid}, Absent{now.Add(-time.Duration(rnd.Int64N(int64(j.Delay))))}, Unseen{},
				Done{Restart, now}, Done{Send, now}, Gone{}, Failed{Action: Restart}, Failed{Action: Send, RetryAfter: time.Second}, Recovered{}, Recovered{Started: true}, Left{SID: "A", Down: true}}[rnd.IntN(17)]
			before := *j
			effects := j.Step(r, in, now, rnd.Float64())
			where := fmt.Sprintf("seed %d, %T", seed, in)
			if len(effects) > 1 {
				t.Fatalf("%s: %s", where, say(effects))
			}
			if say(effects) == "restart" && sent {
				t.Fatalf("%s: restarted after it was sent", where)
			}
			sent = sent || say(effects) == "send"
			if j.State == Ended {
				break
			}
			if len(effects) > 0 && !j.At.After(now) {
				t.Fatalf("%s: asked, and At is not ahead: %v", where, j.At.Sub(now))
			}
			if limit := j.over().Add(Lease); j.At.After(limit) && j.At.After(now.Add(Lease)) {
				t.Fatalf("%s: At %v, limit %v", where, j.At.Sub(start), limit.Sub(start))
			}
			if before.State == Leaving && before.Asked && j.State != Leaving {
				t.Fatalf("%s: back from %+v", where, before)
			}
		}
	}
}

func TestRetriesGrow(t *testing.T) {
	t.Parallel()
	var got []time.Duration
	for _, tries := range []int{0, 1, 2, 3, 20, 4000} {
		got = append(got, (&Job{Tries: tries}).retry(0.5).Round(time.Millisecond))
	}
	want := []time.Duration{time.Second, time.Second, 1500 * time.Millisecond, 2250 * time.Millisecond, time.Minute, time.Minute}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	j := &Job{Tries: 1}
	if lo, hi := j.retry(0), j.retry(0.999); lo != 500*time.Millisecond || hi < 1490*time.Millisecond || hi > 1500*time.Millisecond {
		t.Errorf("spread over %v to %v", lo, hi)
	}
}
