//go:build linux

package chaos

import (
	"context"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
)

// observer is an account that takes no part: plain sync fed to the root
// package, without package client and its timers. It says who is in at every
// moment.
type observer struct {
	*witness
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// observe starts to look at a room; close ends it.
func observe(hs *homeserver.Client, room matrixrtc.RoomID, log *transcript) *observer {
	ctx, cancel := context.WithCancel(context.Background())
	o := &observer{witness: newWitness("observer"), cancel: cancel}
	batches := make(chan matrixrtc.Batch)
	o.wg.Go(func() {
		defer close(batches)
		for b, err := range hs.Sync(ctx, "", nil) {
			if err != nil {
				log.add("observer", "sync: %v", err)
				continue
			}
			if b.Room == room {
				select {
				case batches <- b:
				case <-ctx.Done():
				}
			}
		}
	})
	o.wg.Go(func() { o.look(room, batches, log) })
	return o
}

func (o *observer) look(id matrixrtc.RoomID, batches <-chan matrixrtc.Batch, log *transcript) {
	room := matrixrtc.NewRoom(id, nil)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		var changes []matrixrtc.Change
		select {
		case b, ok := <-batches:
			if !ok {
				return
			}
			changes = room.Apply(b, time.Now())
		case now := <-timer.C:
			changes = room.Advance(now)
		}
		cause := ""
		for _, c := range changes {
			switch c := c.(type) {
			case matrixrtc.MemberJoined:
				cause += " +" + nameOf(c.Member.User)
			case matrixrtc.MemberLeft:
				cause += " -" + nameOf(c.Member.User) + " (" + string(c.Cause) + ")"
			}
		}
		if members := membersOf(room.Sessions()); o.see(members, cause) {
			log.add("observer", "sees %s %s", list(o.now()), cause)
		}
		wait := time.Hour
		if at, ok := room.NextExpiry(); ok {
			wait = max(0, time.Until(at))
		}
		timer.Reset(wait)
	}
}

func (o *observer) close() {
	o.end()
	o.cancel()
	o.wg.Wait()
}
