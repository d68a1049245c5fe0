package follow

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
	"github.com/matrixrtc-go/matrixrtc/media"
)

// counts reads the tracks that arrive and counts what they bring. Its methods
// are called from one goroutine; each track is read by one of its own, which
// ends with the track.
type counts struct {
	tracks  []*counter
	reading sync.WaitGroup
}

// counter counts one track. What arrives is added by the track's goroutine.
type counter struct {
	track          media.Track
	doc            report.Track
	packets, bytes atomic.Uint64
	last           uint64 // packets at the last read
	since          time.Time
}

// add starts to read a track.
func (c *counts) add(t media.Track, m *matrixrtc.Member) {
	n := &counter{track: t, doc: trackOf(t, m), since: time.Now()}
	c.tracks = append(c.tracks, n)
	c.reading.Go(func() {
		for {
			p, err := t.ReadRTP()
			if err != nil {
				return
			}
			n.packets.Add(1)
			n.bytes.Add(uint64(len(p.Payload)))
		}
	})
}

// end stops to list a track and returns what it brought.
func (c *counts) end(t media.Track, m *matrixrtc.Member) report.Track {
	for i, n := range c.tracks {
		if n.track == t {
			c.tracks = slices.Delete(c.tracks, i, i+1)
			return n.read(time.Now())
		}
	}
	return trackOf(t, m)
}

// read returns what every track brought so far, the tracks of one member
// together.
func (c *counts) read(now time.Time) []report.Track {
	out := make([]report.Track, 0, len(c.tracks))
	for _, n := range c.tracks {
		out = append(out, n.read(now))
	}
	slices.SortStableFunc(out, func(a, b report.Track) int {
		return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Device, b.Device), cmp.Compare(a.Member, b.Member),
			cmp.Compare(a.Identity, b.Identity), cmp.Compare(a.Kind, b.Kind))
	})
	return out
}

func (n *counter) read(now time.Time) report.Track {
	doc := n.doc
	doc.Packets, doc.Bytes = n.packets.Load(), n.bytes.Load()
	if took := now.Sub(n.since).Seconds(); took > 0 {
		doc.Rate = float64(doc.Packets-n.last) / took
	}
	n.last, n.since = doc.Packets, now
	return doc
}

// wait waits until no track is read any more.
func (c *counts) wait() { c.reading.Wait() }

func trackOf(t media.Track, m *matrixrtc.Member) report.Track {
	doc := senderOf(t.Peer(), m)
	doc.Kind, doc.Codec, doc.Purpose = string(t.Kind()), string(t.Codec()), string(t.Purpose())
	return doc
}

func senderOf(p media.Peer, m *matrixrtc.Member) report.Track {
	doc := report.Track{Identity: p.Identity}
	switch {
	case m != nil:
		doc.User, doc.Device, doc.Member = m.User, m.Device, m.Member
	case p.Member != nil:
		doc.User, doc.Device, doc.Member = p.Member.User, p.Member.Device, p.Member.Member
	}
	return doc
}
