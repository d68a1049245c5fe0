package archive_test

import (
	"context"
	"fmt"
	"log"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/archive"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
)

// The calls of a room that somebody missed: rung, not taken part in, not
// declined. The first run reads the room's whole past, later ones what is new.
func Example() {
	ctx := context.Background()
	store := homeserver.NewStore("bot.json")
	creds, err := store.Load()
	if err != nil {
		log.Fatal(err)
	}
	hs, err := homeserver.Open(creds, &homeserver.Options{Save: store.Save})
	if err != nil {
		log.Fatal(err)
	}
	defer hs.Close()
	calls, err := archive.Open("calls.db", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer calls.Close()

	room := matrixrtc.RoomID("!room:example.org")
	err = calls.BackFill(ctx, hs, room, func(p archive.Progress) {
		fmt.Printf("\r%d events, back to %s", p.Events, p.Oldest.Format("2006-01-02"))
	})
	if err != nil {
		log.Fatal(err)
	}
	me, _ := hs.Self()
	for call, err := range calls.Sessions(ctx, room, archive.Filter{}) {
		if err != nil {
			log.Fatal(err)
		}
		missed := call.Ring == "ring" && call.NotifiedBy != me
		for _, p := range call.Participants {
			missed = missed && p.User != me
		}
		for _, user := range call.DeclinedBy {
			missed = missed && user != me
		}
		if missed {
			fmt.Println("missed:", call.Start, "from", call.NotifiedBy)
		}
	}
}
