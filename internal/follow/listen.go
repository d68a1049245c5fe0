package follow

import (
	"context"
	"iter"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
)

// Listen returns hs with a sync that passes through tee on its way to the
// client: to somebody who wants to know every event, such as a web.Board.
func Listen(hs client.Homeserver, tee func(iter.Seq2[matrixrtc.Batch, error]) iter.Seq2[matrixrtc.Batch, error]) client.Homeserver {
	return listened{hs, tee}
}

type listened struct {
	client.Homeserver
	tee func(iter.Seq2[matrixrtc.Batch, error]) iter.Seq2[matrixrtc.Batch, error]
}

// Sync implements client.Homeserver.
func (l listened) Sync(ctx context.Context, from string, have map[matrixrtc.RoomID][]matrixrtc.UserID) iter.Seq2[matrixrtc.Batch, error] {
	return l.tee(l.Homeserver.Sync(ctx, from, have))
}
