package follow

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
	"github.com/matrixrtc-go/matrixrtc/media"
)

// JoinOptions are the options of Join; the zero value gives the defaults.
type JoinOptions struct {
	// Sources are sent from the start.
	Sources []media.Source
	// Every is how often a line says what has arrived; 0: 5 s.
	Every time.Duration
	// LeaveWithin bounds the leaving; 0: 15 s.
	LeaveWithin time.Duration
}

// Join follows a call until ctx ends, and then leaves it: that is no error. It
// fails if the call ends by itself, if a source cannot be sent, if its media was
// never connected, or if emit fails; the call is over in any case when it
// returns, and so is everything that it started.
func Join(ctx context.Context, call *client.Call, opts *JoinOptions, emit func(report.Change) error) error {
	j := &joined{call: call, emit: emit}
	if opts != nil {
		j.opts = *opts
	}
	if j.opts.Every <= 0 {
		j.opts.Every = 5 * time.Second
	}
	if j.opts.LeaveWithin <= 0 {
		j.opts.LeaveWithin = 15 * time.Second
	}
	m := call.Membership()
	j.room, j.slot = call.Room(), m.Slot
	j.lines.room = j.room
	// Room for all that the senders ever say, so that none waits for us.
	j.sent = make(chan sent, 2*len(j.opts.Sources))
	sending, stop := context.WithCancel(ctx)
	defer stop()
	var senders sync.WaitGroup
	for _, src := range j.opts.Sources {
		senders.Go(func() { j.send(sending, src) })
	}
	err := j.follow(ctx)
	stop()
	if e := j.leave(ctx); err == nil {
		err = e
	}
	senders.Wait()
	close(j.sent)
	for s := range j.sent {
		if e := j.report(s); err == nil {
			err = e
		}
	}
	j.tracks.wait()
	if err == nil && !j.connected && j.trouble != nil {
		err = fmt.Errorf("media was never connected: %w", j.trouble)
	}
	return err
}

// joined is one Join at work. Everything in it belongs to the goroutine of
// Join, except the counters of tracks.
type joined struct {
	call *client.Call
	room *client.Room
	slot matrixrtc.SlotID
	opts JoinOptions
	emit func(report.Change) error

	lines  lines
	tracks counts
	sent   chan sent

	connected bool  // to the transport that we publish on, at least once
	trouble   error // why not, if somebody said
}

// follow prints until ctx ends, the call is over, or something fails.
func (j *joined) follow(ctx context.Context) error {
	every := time.NewTicker(j.opts.Every)
	defer every.Stop()
	updates := j.room.Updates()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-j.call.Done():
			j.drain(updates) // it says how the call ended
			return j.call.Err()
		case u, ok := <-updates:
			if !ok {
				return client.ErrClosed
			}
			err = j.update(u)
		case now := <-every.C:
			err = j.emit(j.received(now))
		case s := <-j.sent:
			err = j.report(s)
		}
		if err != nil {
			return err
		}
	}
}

// leave says goodbye even though ctx has ended: that is why we leave. It goes
// on reading the stream meanwhile. After it the call is over.
func (j *joined) leave(ctx context.Context) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), j.opts.LeaveWithin)
	defer stop()
	left := make(chan error, 1)
	go func() { left <- j.call.Leave(ctx) }()
	updates := j.room.Updates()
	for {
		select {
		case u, ok := <-updates:
			if !ok {
				updates = nil
				continue
			}
			_ = j.update(u) // nothing that fails now keeps us from leaving
		case err := <-left:
			if err != nil {
				j.call.Abandon()
				err = fmt.Errorf("leave the call: %w; others see us until our membership ends", err)
			}
			<-j.call.Done()
			j.drain(updates)
			return err
		}
	}
}

// drain prints what is in the stream already.
func (j *joined) drain(updates <-chan client.Update) {
	for {
		select {
		case u, ok := <-updates:
			if !ok || j.update(u) != nil {
				return
			}
		default:
			return
		}
	}
}

// update prints an update of our slot, and counts what arrives.
func (j *joined) update(u client.Update) error {
	line := report.Notice(j.room.ID(), "", time.Now(), nil)
	line.Slot = j.slot
	switch u := u.(type) {
	case client.Changed:
		if key, ok := sessionKey(u.Change); ok && key.Slot != j.slot {
			return nil
		}
	case client.Own:
		if u.Call != j.call {
			return nil
		}
		line.Kind, line.State, line.Error = report.KindOwn, string(u.State), text(u.Err)
		line.At, line.Since, line.Until, line.After = u.At.UnixMilli(), millis(u.Since), millis(u.Until), u.After.Milliseconds()
		return j.emit(line)
	case client.Refreshed:
		if u.Call != j.call {
			return nil
		}
		line.Kind, line.State, line.At, line.Until = report.KindOwn, report.StateRefreshed, u.At.UnixMilli(), millis(u.Until)
		return j.emit(line)
	case client.Connection:
		if u.Call != j.call {
			return nil
		}
		if u.Publish {
			j.connected = j.connected || u.State == client.Connected
			j.trouble = cmp.Or(u.Err, j.trouble)
		}
		line.Kind, line.State, line.Error = report.KindConnection, string(u.State), text(u.Err)
		line.Transport, line.Publish = u.Transport.Raw, u.Publish
		return j.emit(line)
	case client.TrackAdded:
		if u.Call != j.call {
			return nil
		}
		j.tracks.add(u.Track, u.Member)
		line.Kind, line.Tracks = report.KindTrackAdded, []report.Track{trackOf(u.Track, u.Member)}
		return j.emit(line)
	case client.TrackEnded:
		if u.Call != j.call {
			return nil
		}
		line.Kind, line.Tracks = report.KindTrackEnded, []report.Track{j.tracks.end(u.Track, u.Member)}
		return j.emit(line)
	case client.MessageReceived:
		if u.Call != j.call {
			return nil
		}
		line.Kind, line.Topic, line.Bytes = report.KindMessage, u.Message.Topic, len(u.Message.Data)
		line.Tracks = []report.Track{senderOf(u.Message.From, u.Member)}
		return j.emit(line)
	case client.Note:
		if u.Final {
			return finalError(u.Err)
		}
	}
	if c, ok := j.lines.of(u); ok {
		return j.emit(c)
	}
	return nil
}

func (j *joined) received(now time.Time) report.Change {
	line := report.Notice(j.room.ID(), report.KindReceived, now, nil)
	line.Slot, line.Tracks = j.slot, j.tracks.read(now)
	return line
}

// millis is a time as it stands in a document, zero if there is none.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
