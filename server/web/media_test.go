package web

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/matrixrtc-go/matrixrtc"
)

func TestMediaRates(t *testing.T) {
	t.Parallel()
	b := NewBoard(nil)
	now := time.Now()
	at := func(s float64) time.Time { return now.Add(time.Duration(s * float64(time.Second))) }
	key := func(u string) matrixrtc.MemberKey {
		return matrixrtc.MemberKey{User: matrixrtc.UserID(u), Device: "D"}
	}
	feed := func(second int, from ...string) {
		var flows []Flow
		for _, f := range from {
			n := uint64(second)
			flows = append(flows, Flow{To: key("@a:x"), From: key(f), AudioPackets: 50 * n, VideoFrames: 15 * n, Bytes: 10_000 * n})
		}
		b.Media(at(float64(second)), "!r:x", flows...)
	}
	received := func(s float64) Received {
		t.Helper()
		all := b.Snapshot(at(s)).Media
		if len(all) != 1 {
			t.Fatalf("%d receivers, want 1", len(all))
		}
		return all[0]
	}

	feed(0, "@b:x", "@c:x")
	if r := received(0); r.Rate != nil {
		t.Errorf("a rate from one look: %+v", r.Rate)
	}
	for s := 1; s <= 5; s++ {
		feed(s, "@b:x", "@c:x")
	}
	r := received(5)
	if diff := cmp.Diff(&Rate{AudioPackets: 100, VideoFrames: 30, Bits: 160_000}, r.Rate); diff != "" {
		t.Errorf("rate (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int64{160_000, 160_000, 160_000, 160_000, 160_000}, r.History); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if len(r.From) != 2 || r.From[0].User != "@b:x" || r.From[0].AudioPackets != 250 || r.From[0].Rate.VideoFrames != 15 {
		t.Errorf("from: %+v", r.From)
	}
	if r := received(20); r.Rate != nil {
		t.Errorf("a rate 15 s after the last count: %+v", r.Rate)
	}

	// The counters of a sender that came back start at zero.
	feed(1, "@b:x")
	b.Media(at(6), "!r:x", Flow{To: key("@a:x"), From: key("@b:x"), AudioPackets: 3})
	b.Media(at(7), "!r:x", Flow{To: key("@a:x"), From: key("@b:x"), AudioPackets: 53})
	for _, f := range received(7).From {
		if f.User == "@b:x" && (f.Rate == nil || f.Rate.AudioPackets != 50) {
			t.Errorf("rate after a restart of the counters: %+v, want 50 packets per second", f.Rate)
		}
	}
	b.Media(at(200), "!r:x")
	if all := b.Snapshot(at(200)).Media; len(all) != 0 {
		t.Errorf("%d receivers minutes after the last count", len(all))
	}
}

func TestMediaIsBounded(t *testing.T) {
	t.Parallel()
	b := NewBoard(nil)
	now := time.Now()
	var flows []Flow
	for i := range maxReceivers + 10 {
		flows = append(flows, Flow{To: matrixrtc.MemberKey{User: matrixrtc.UserID(fmt.Sprint(i)), Device: "D"}})
		flows = append(flows, Flow{To: matrixrtc.MemberKey{User: "0", Device: "D"}, From: matrixrtc.MemberKey{User: matrixrtc.UserID(fmt.Sprint(i))}})
	}
	for s := range 60 {
		b.Media(now.Add(time.Duration(s)*100*time.Millisecond), "!r:x", flows...)
	}
	all := b.Snapshot(now).Media
	if len(all) != maxReceivers || len(all[0].From) != listSenders || all[0].More != maxSenders-listSenders {
		t.Errorf("%d receivers, the first with %d senders listed and %d more", len(all), len(all[0].From), all[0].More)
	}
	for _, r := range b.media.receivers {
		if len(r.line.samples) > lineSamples {
			t.Fatalf("%d samples of a line", len(r.line.samples))
		}
		for _, f := range r.flows {
			if len(f.samples) > flowSamples {
				t.Fatalf("%d samples of a flow", len(f.samples))
			}
		}
	}
}
