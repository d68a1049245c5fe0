// Command join joins the call of a Matrix room, says who is there and what
// media arrives, and leaves on Ctrl-C:
//
//	MATRIX_TOKEN=… go run ./examples/join https://matrix.example.org '#daily:example.org'
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/livekit"
	"github.com/matrixrtc-go/matrixrtc/media"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: MATRIX_TOKEN=… join HOMESERVER-URL ROOM")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := join(ctx, os.Args[1], os.Args[2], os.Getenv("MATRIX_TOKEN")); err != nil {
		log.Fatal(err)
	}
}

func join(ctx context.Context, server, name, token string) (err error) {
	hs, err := homeserver.WithToken(ctx, server, token, nil)
	if err != nil {
		return err
	}
	id, err := hs.Resolve(ctx, name)
	if err != nil {
		return err
	}
	c := client.New(hs, &client.Options{Connectors: []media.Connector{livekit.New(hs, nil)}})
	var tracks sync.WaitGroup
	defer func() { // leave the call, though ctx has ended: that is why we leave
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if e := c.Close(ending); err == nil {
			err = e
		}
		tracks.Wait()
	}()
	room, err := c.Open(ctx, id)
	if err != nil {
		return err
	}
	call, err := room.Join(ctx, nil) // from now on the others see us
	if err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-call.Done():
			return call.Err()
		case u := <-room.Updates():
			switch u := u.(type) {
			case client.Changed: // computed from the room's events
				switch ch := u.Change.(type) {
				case matrixrtc.MemberJoined:
					fmt.Println(ch.Member.User, "is in", ch.Session.Slot)
				case matrixrtc.MemberLeft:
					fmt.Println(ch.Member.User, "has left", ch.Session.Slot)
				}
			case client.TrackAdded: // arrives from the SFU
				tracks.Go(func() { count(u) })
			case client.Note: // the homeserver does not answer, or does again
				fmt.Println("homeserver:", u.Err)
			}
		}
	}
}

// count reads a track to its end, which the end of the call is, too.
func count(t client.TrackAdded) {
	who, packets := t.Track.Peer().Identity, 0
	if t.Member != nil {
		who = string(t.Member.User)
	}
	fmt.Println(who, "sends", t.Track.Kind())
	for {
		if _, err := t.Track.ReadRTP(); err != nil {
			break
		}
		packets++
	}
	fmt.Println(who, "sent", packets, "packets of", t.Track.Kind())
}
