package main

import (
	"context"
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// doorkeeper has those removed from the SFU who are not in a room any more.
// *server.Server is one.
type doorkeeper interface {
	MemberGone(ctx context.Context, room, user string)
	MemberBack(ctx context.Context, room, user string)
}

// goneTimeout bounds what one batch of events costs at the SFU.
const goneTimeout = 10 * time.Second

// tellDoor tells who leaves the rooms of a sync and who joins them, before the batch
// goes on. Of each user it tells how things stand at the end of the batch.
func tellDoor(ctx context.Context, door doorkeeper, seq iter.Seq2[matrixrtc.Batch, error]) iter.Seq2[matrixrtc.Batch, error] {
	return func(yield func(matrixrtc.Batch, error) bool) {
		for b, err := range seq {
			if err == nil {
				tellBatch(ctx, door, &b)
			}
			if !yield(b, err) {
				return
			}
		}
	}
}

func tellBatch(ctx context.Context, door doorkeeper, b *matrixrtc.Batch) {
	in := map[string]bool{}
	for _, events := range [][]matrixrtc.Event{b.State, b.Events} {
		for i := range events {
			e := &events[i]
			if e.Type != matrixrtc.TypeRoomMember || !e.IsState() {
				continue
			}
			var content struct {
				Membership any `json:"membership"`
			}
			_ = json.Unmarshal(e.Content, &content) // garbage is no membership
			switch content.Membership {
			case "join":
				in[*e.StateKey] = true
			case "leave", "ban":
				in[*e.StateKey] = false
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, goneTimeout)
	defer cancel()
	for _, user := range slices.Sorted(maps.Keys(in)) {
		if in[user] {
			door.MemberBack(ctx, string(b.Room), user)
		} else {
			door.MemberGone(ctx, string(b.Room), user)
		}
	}
}
