// Command sessions lists the calls and other sessions of the rooms that an
// account is in. It is the pure core with one request per room, and nothing
// that stays:
//
//	MATRIX_TOKEN=… go run ./examples/sessions https://matrix.example.org
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: MATRIX_TOKEN=… sessions HOMESERVER-URL")
	}
	if err := sessions(context.Background(), os.Args[1], os.Getenv("MATRIX_TOKEN")); err != nil {
		log.Fatal(err)
	}
}

func sessions(ctx context.Context, server, token string) error {
	hs, err := homeserver.WithToken(ctx, server, token, nil)
	if err != nil {
		return err
	}
	defer hs.Close()
	rooms, err := hs.JoinedRooms(ctx)
	if err != nil {
		return err
	}
	for _, id := range rooms {
		state, err := hs.State(ctx, id)
		if err != nil {
			log.Printf("%s: %v", id, err) // the other rooms are no worse for it
			continue
		}
		now := time.Now() // the core has no clock: it is told
		room := matrixrtc.NewRoom(id, nil)
		room.Apply(state, now)
		for _, s := range room.Sessions() {
			fmt.Printf("%s %s: %d devices of %d users, for %s\n",
				id, s.Key.Slot, s.Devices(), s.Users(), now.Sub(s.Since()).Round(time.Second))
			for _, m := range s.Members() {
				fmt.Printf("  %s (%s, %s)\n", m.User, m.Device, m.Dialect)
			}
		}
	}
	return nil
}
