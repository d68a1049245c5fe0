package web

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Flow counts what one member has received from another since both are there.
type Flow struct {
	To, From matrixrtc.MemberKey
	// AudioPackets are the audio packets, VideoFrames the whole video frames,
	// Bytes the payload of both.
	AudioPackets, VideoFrames, Bytes uint64
}

// Rate is what arrives per second.
type Rate struct {
	AudioPackets float64 `json:"audio_packets"`
	VideoFrames  float64 `json:"video_frames"`
	Bits         float64 `json:"bits"`
}

// Received is the media that one member receives.
type Received struct {
	Room   matrixrtc.RoomID   `json:"room_id"`
	User   matrixrtc.UserID   `json:"user_id"`
	Device matrixrtc.DeviceID `json:"device_id"`
	Member matrixrtc.MemberID `json:"member_id"`
	// Rate is null while it is not known: nothing was counted of late.
	Rate *Rate `json:"rate"`
	// History holds the bits per second of the last seconds, oldest first.
	History []int64 `json:"history"`
	// From lists the senders; More counts those that are not listed.
	From []From `json:"from"`
	More int    `json:"from_more,omitempty"`
}

// From is the part of the received media that comes from one sender.
type From struct {
	User         matrixrtc.UserID   `json:"user_id"`
	Device       matrixrtc.DeviceID `json:"device_id"`
	Member       matrixrtc.MemberID `json:"member_id"`
	AudioPackets uint64             `json:"audio_packets"`
	VideoFrames  uint64             `json:"video_frames"`
	Bytes        uint64             `json:"bytes"`
	Rate         *Rate              `json:"rate"`
}

const (
	maxReceivers = 2000
	maxSenders   = 200 // followed per receiver
	listSenders  = 12  // listed per receiver in a document

	flowSpacing = 250 * time.Millisecond
	flowSamples = 16
	lineSpacing = time.Second // of the sparkline
	lineSamples = 41
	rateOver    = 2500 * time.Millisecond // what a rate is the mean of
	rateStale   = 5 * time.Second         // when a rate is no longer known
	flowGone    = time.Minute             // when a flow is forgotten
)

type endpoint struct {
	room matrixrtc.RoomID
	key  matrixrtc.MemberKey
}

type receiver struct {
	total count // of all flows, through their restarts
	line  series
	flows map[matrixrtc.MemberKey]*series
}

// media follows counters. The board's lock guards it.
type media struct{ receivers map[endpoint]*receiver }

func (m *media) add(now time.Time, room matrixrtc.RoomID, f Flow) {
	to := endpoint{room, f.To}
	r := m.receivers[to]
	if r == nil {
		if len(m.receivers) >= maxReceivers {
			return
		}
		r = &receiver{flows: make(map[matrixrtc.MemberKey]*series)}
		m.receivers[to] = r
	}
	s := r.flows[f.From]
	if s == nil {
		if len(r.flows) >= maxSenders {
			return
		}
		s = &series{}
		r.flows[f.From] = s
	}
	grown := s.add(now, count{f.AudioPackets, f.VideoFrames, f.Bytes}, flowSpacing, flowSamples)
	r.total = r.total.plus(grown)
	r.line.add(now, r.total, lineSpacing, lineSamples)
}

// drop forgets what a member received and what was received from it: a member
// that comes back counts from zero.
func (m *media) drop(room matrixrtc.RoomID, key matrixrtc.MemberKey) {
	delete(m.receivers, endpoint{room, key})
	for to, r := range m.receivers {
		if to.room == room {
			delete(r.flows, key)
		}
	}
}

func (m *media) forget(room matrixrtc.RoomID) {
	for to := range m.receivers {
		if to.room == room {
			delete(m.receivers, to)
		}
	}
}

func (m *media) prune(now time.Time) {
	for to, r := range m.receivers {
		for from, s := range r.flows {
			if now.Sub(s.last().at) > flowGone {
				delete(r.flows, from)
			}
		}
		if len(r.flows) == 0 {
			delete(m.receivers, to)
		}
	}
}

func (m *media) list(now time.Time) []Received {
	out := make([]Received, 0, len(m.receivers))
	for to, r := range m.receivers {
		rec := Received{
			Room: to.room, User: to.key.User, Device: to.key.Device, Member: to.key.Member,
			History: r.line.history(), From: make([]From, 0, min(len(r.flows), listSenders)),
		}
		for key, s := range r.flows {
			rate, c := s.rate(now), s.last().count
			if rate != nil {
				if rec.Rate == nil {
					rec.Rate = &Rate{}
				}
				rec.Rate.AudioPackets += rate.AudioPackets
				rec.Rate.VideoFrames += rate.VideoFrames
				rec.Rate.Bits += rate.Bits
			}
			rec.From = append(rec.From, From{key.User, key.Device, key.Member, c.audio, c.video, c.bytes, rate})
		}
		slices.SortFunc(rec.From, func(a, b From) int {
			return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Device, b.Device), cmp.Compare(a.Member, b.Member))
		})
		if len(rec.From) > listSenders {
			rec.More = len(rec.From) - listSenders
			rec.From = rec.From[:listSenders]
		}
		out = append(out, rec)
	}
	slices.SortFunc(out, func(a, b Received) int {
		return cmp.Or(cmp.Compare(a.Room, b.Room), cmp.Compare(a.User, b.User),
			cmp.Compare(a.Device, b.Device), cmp.Compare(a.Member, b.Member))
	})
	return out
}

type count struct{ audio, video, bytes uint64 }

func (c count) plus(d count) count {
	return count{c.audio + d.audio, c.video + d.video, c.bytes + d.bytes}
}

type sample struct {
	at time.Time
	count
}

// series is the last few values of growing counters.
type series struct{ samples []sample }

func (s *series) last() sample {
	if len(s.samples) == 0 {
		return sample{}
	}
	return s.samples[len(s.samples)-1]
}

// add takes the counters as they stand and returns by how much they have
// grown, as far as that is known. Counters that have shrunk have started anew.
// The newest sample moves along until it is spacing away from the one before.
func (s *series) add(now time.Time, c count, spacing time.Duration, most int) count {
	before := s.last()
	if now.Before(before.at) {
		return count{}
	}
	if c.audio < before.audio || c.video < before.video || c.bytes < before.bytes {
		s.samples = nil
	}
	n := len(s.samples)
	if n > 0 && now.Equal(before.at) || n > 1 && now.Sub(s.samples[n-2].at) < spacing {
		s.samples = s.samples[:n-1]
	}
	s.samples = append(s.samples, sample{now, c})
	if over := len(s.samples) - most; over > 0 {
		s.samples = slices.Delete(s.samples, 0, over)
	}
	if n == 0 {
		return count{} // over what time is not known
	}
	return count{c.audio - before.audio, c.video - before.video, c.bytes - before.bytes}
}

// rate is the mean of the last moments, nil if it is not known.
func (s *series) rate(now time.Time) *Rate {
	last := s.last()
	if len(s.samples) < 2 || now.Sub(last.at) > rateStale {
		return nil
	}
	base := s.samples[len(s.samples)-2]
	for _, x := range slices.Backward(s.samples) {
		if last.at.Sub(x.at) > rateOver {
			break
		}
		base = x
	}
	over := last.at.Sub(base.at).Seconds()
	if over <= 0 {
		return nil
	}
	return &Rate{
		AudioPackets: round(float64(last.audio-base.audio) / over),
		VideoFrames:  round(float64(last.video-base.video) / over),
		Bits:         math.Round(float64(last.bytes-base.bytes) * 8 / over),
	}
}

func (s *series) history() []int64 {
	out := make([]int64, 0, len(s.samples))
	for i := 1; i < len(s.samples); i++ {
		a, b := s.samples[i-1], s.samples[i]
		if over := b.at.Sub(a.at).Seconds(); over >= 0.2 {
			out = append(out, int64(float64(b.bytes-a.bytes)*8/over))
		}
	}
	return out
}

func round(v float64) float64 { return math.Round(v*10) / 10 }
