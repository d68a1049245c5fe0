package client_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/media"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// Ann joins the call of a room, sees herself in it, and leaves. The homeserver
// and the SFU of the example are in memory; a program takes package homeserver
// and package livekit instead.
func Example() {
	hs, sfu := rtctest.NewHomeserver(), rtctest.NewHub()
	hs.Offer(rtctest.SFU("a"))
	ann := rtctest.User("ann")
	room := hs.CreateRoom(ann)

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := client.New(hs.Device(ann, "PHONE"), &client.Options{Connectors: []media.Connector{sfu}})
	defer c.Close(ctx)
	r, err := c.Open(ctx, room)
	if err != nil {
		log.Fatal(err)
	}
	call, err := r.Join(ctx, &client.JoinOptions{Intent: "audio"})
	if err != nil {
		log.Fatal(err)
	}
	for u := range r.Updates() {
		switch u := u.(type) {
		case client.Changed:
			switch ch := u.Change.(type) {
			case matrixrtc.MemberJoined:
				fmt.Println(ch.Member.User, "joined")
				if err := call.Leave(ctx); err != nil {
					log.Fatal(err)
				}
			case matrixrtc.MemberLeft:
				fmt.Println(ch.Member.User, "left:", ch.Cause)
				return
			}
		case client.TrackAdded:
			fmt.Println("media of", u.Track.Peer().Identity)
		}
	}
	// Output:
	// @ann:hs.test joined
	// @ann:hs.test left: leave
}

// A program that is to go on after a restart, or a crash, where it was: what a
// homeserver tells only once is not lost.
func ExampleNewFileStore() {
	var account client.Homeserver // of package homeserver

	c := client.New(account, &client.Options{Store: client.NewFileStore("/var/lib/bot/rooms.json")})
	defer c.Close(context.Background())
}
