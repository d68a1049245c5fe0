package homeserver_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/matrixrtc-go/matrixrtc/homeserver"
)

// TestDelayedEvent looks one up in every form there was.
func TestDelayedEvent(t *testing.T) {
	t.Parallel()
	const (
		list      = "GET " + unstable + "delayed_events"
		one       = list + "/d%2F1"
		listOne   = list + "?delay_id=d%2F1"
		stableOne = "GET v1/delayed_events/d%2F1"
		stable    = "GET v1/delayed_events?delay_id=d%2F1"

		head   = `"delay_id":"d/1","room_id":"!one:fake.test","type":"` + member + `","state_key":"` + stateKey + `","content":{}`
		newest = `{` + head + `,"delay_ms":20000,"scheduled_at":1700000000000}`
		old    = `{` + head + `,"delay":20000,"running_since":1700000000000}`
		other  = `{"delay_id":"d2"}`
	)
	key := stateKey
	want := homeserver.DelayedEvent{ID: "d/1", Room: room1, Type: member, StateKey: &key, Content: []byte(`{}`),
		After: 20 * time.Second, Since: time.UnixMilli(1_700_000_000_000)}
	over := func(d homeserver.DelayedEvent, edit func(*homeserver.DelayedEvent)) *homeserver.DelayedEvent {
		d.Over = true
		edit(&d)
		return &d
	}
	for _, tt := range []struct {
		name     string
		versions string
		answers  map[string]answer
		asked    []string // the first time
		again    string   // the second time
		want     *homeserver.DelayedEvent
		check    func(error) bool
	}{
		{"by its id", withDelays, map[string]answer{one: ok(newest)}, []string{one}, one, &want, nil},
		{"by its id, stable", withStableDelays, map[string]answer{stableOne: ok(newest)}, []string{stableOne}, stableOne, &want, nil},
		{"not by its id", withDelays, map[string]answer{one: {status: 405, body: unknownPath}, list: ok(`{"delayed_events":[` + other + `,` + old + `]}`)},
			[]string{one, listOne}, listOne, &want, nil},
		{"said to be stable, and is not", withStableDelays, map[string]answer{list: ok(`{"delayed_events":[` + old + `]}`), one: {status: 404, body: unknownPath}},
			[]string{stableOne, one, stable, listOne}, listOne, &want, nil},
		{"sent", withDelays, map[string]answer{one: ok(`{` + head + `,"delay_ms":20000,"scheduled_at":1700000000000,"event_id":"$e","finalised_ts":1700000020000}`)},
			[]string{one}, one, over(want, func(d *homeserver.DelayedEvent) { d.Sent = "$e" }), nil},
		{"refused", withDelays, map[string]answer{one: ok(`{` + head + `,"delay_ms":20000,"scheduled_at":1700000000000,"finalised_ts":1700000020000,` +
			`"error":{"errcode":"M_FORBIDDEN","error":"no"}}`)},
			[]string{one}, one, over(want, func(d *homeserver.DelayedEvent) { d.Refused = "M_FORBIDDEN: no" }), nil},
		{"cancelled, between", withDelays, map[string]answer{one: {status: 405, body: "<html>"},
			list: ok(`{"scheduled":[],"finalised":[{"scheduled_event":` + old + `,"outcome":"cancel","reason":"action","error":null}]}`)},
			[]string{one, listOne}, listOne, over(want, func(*homeserver.DelayedEvent) {}), nil},
		{"none", withDelays, map[string]answer{one: {status: 404, body: notFound}}, []string{one}, one, nil, isGone},
		{"none in the list", withDelays, map[string]answer{list: ok(`{"delayed_events":[` + other + `,7]}`), one: {status: 404, body: unknownPath}},
			[]string{one, listOne}, listOne, nil, isGone},
		{"another one", withDelays, map[string]answer{one: ok(other)}, []string{one}, one, nil,
			func(err error) bool { return errors.Is(err, homeserver.ErrBadAnswer) }},
		{"no delayed events", `{"versions":["v1.11"]}`, nil, nil, "", nil, isUnsupported},
		{"no list either", withDelays, nil, []string{one, listOne}, one, nil, isUnsupported},
		{"limited", withDelays, map[string]answer{one: {status: 429, body: `{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":1500}`}}, []string{one}, one, nil,
			func(err error) bool { return retryAfter(err) == 1500*time.Millisecond }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newDelayFake(t, tt.versions, tt.answers)
			c := f.client(nil)
			for i, asked := range [][]string{tt.asked, {tt.again}} {
				f.asked = nil
				got, err := c.DelayedEvent(t.Context(), "d/1")
				switch {
				case tt.want != nil && err == nil:
					if d := cmp.Diff(*tt.want, got); d != "" {
						t.Errorf("(-want +got):\n%s", d)
					}
				case tt.want != nil || err == nil || !tt.check(err):
					t.Errorf("error %v", err)
				}
				if tt.again == "" {
					asked = nil
				} else if len(f.asked) < len(asked) {
					t.Fatalf("asked %q, want %q", f.asked, asked)
				}
				if d := cmp.Diff(asked, plain(f.asked[:len(asked)])); d != "" {
					t.Errorf("request %d (-want +got):\n%s", i+1, d)
				}
			}
		})
	}
	if !want.Due().Equal(time.UnixMilli(1_700_000_020_000)) {
		t.Errorf("due at %v", want.Due())
	}
	if d := (homeserver.DelayedEvent{Over: true, Since: time.Now()}); !d.Due().IsZero() {
		t.Errorf("what is over is due at %v", d.Due())
	}
	c := newDelayFake(t, withDelays, nil).client(nil)
	for _, id := range []string{"", ".", ".."} {
		if _, err := c.DelayedEvent(t.Context(), id); !isGone(err) {
			t.Errorf("id %q: %v", id, err)
		}
	}
}

func plain(asked []string) []string {
	if len(asked) == 0 {
		return nil
	}
	return asked
}

func TestDelayedEvents(t *testing.T) {
	t.Parallel()
	f := newDelayFake(t, withDelays, nil)
	pages := []string{
		`{"scheduled":[{"delay_id":"a","delay":1},{"delay_id":"b"}],"delayed_events":[{"delay_id":"a","delay":1}],"finalised":[{"delayed_event":{"delay_id":"z"},"outcome":"send"}],"next_batch":"n"}`,
		`{"scheduled":[{"delay_id":"b"},{"delay_id":"c"},null,[]]}`,
	}
	whole := f.transport
	f.transport = func(r *http.Request) *answer {
		a := whole(r)
		if a == nil {
			return nil
		}
		page := ok(pages[0])
		pages = pages[1:]
		return &page
	}
	list, err := f.client(nil).DelayedEvents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, d := range list {
		ids = append(ids, d.ID)
	}
	if d := cmp.Diff([]string{"a", "b", "c"}, ids); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"GET " + unstable + "delayed_events", "GET " + unstable + "delayed_events?from=n"}, f.asked); d != "" {
		t.Errorf("asked (-want +got):\n%s", d)
	}
}
