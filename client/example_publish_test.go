package client_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/media"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// silence is a source without end: Opus packets of 20 ms in which nothing is
// heard. The publication asks for them in time.
type silence struct{}

func (silence) Kind() media.Kind       { return media.Audio }
func (silence) Codec() media.Codec     { return media.Opus }
func (silence) Purpose() media.Purpose { return media.Microphone }
func (silence) Next() (media.Sample, error) {
	return media.Sample{Data: []byte{0xf8, 0xff, 0xfe}, Duration: 20 * time.Millisecond}, nil
}

// Ann publishes, Bob listens. A track belongs to a member of the session.
func ExampleCall_Publish() {
	hs, sfu := rtctest.NewHomeserver(), rtctest.NewHub()
	hs.Offer(rtctest.SFU("a"))
	room := hs.CreateRoom(rtctest.User("ann"), rtctest.User("bob"))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	enter := func(name string) (*client.Client, *client.Call) {
		c := client.New(hs.Device(rtctest.User(name), "PHONE"), &client.Options{Connectors: []media.Connector{sfu}})
		r, err := c.Open(ctx, room)
		if err != nil {
			log.Fatal(err)
		}
		call, err := r.Join(ctx, nil)
		if err != nil {
			log.Fatal(err)
		}
		return c, call
	}
	ann, speaking := enter("ann")
	defer ann.Close(ctx)
	bob, listening := enter("bob")
	defer bob.Close(ctx)

	pub, err := speaking.Publish(ctx, silence{})
	if err != nil {
		log.Fatal(err)
	}
	defer pub.Close()
	for u := range listening.Room().Updates() {
		if added, ok := u.(client.TrackAdded); ok {
			p, err := added.Track.ReadRTP()
			if err != nil {
				log.Fatal(err)
			}
			fmt.Printf("%s of %s: %x\n", added.Track.Kind(), added.Member.User, p.Payload)
			return
		}
	}
	// Output:
	// audio of @ann:hs.test: f8fffe
}
