package follow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
	"github.com/matrixrtc-go/matrixrtc/media"
)

// sent is news of a source.
type sent struct {
	src     media.Source
	samples int
	ended   bool
	err     error
}

// send sends a source to its end, or until ctx ends. Its last word is ended.
func (j *joined) send(ctx context.Context, src media.Source) {
	p, err := j.call.Publish(ctx, src)
	if err != nil {
		j.sent <- sent{src: src, ended: true, err: err}
		return
	}
	j.sent <- sent{src: src}
	select {
	case <-p.Done():
	case <-ctx.Done():
	}
	n := p.Sent()
	err = errors.Join(p.Close(), p.Err())
	j.sent <- sent{src: src, samples: n, ended: true, err: err}
}

// report prints news of a source. A source that cannot be sent ends the join,
// because sending it is what we came for.
func (j *joined) report(s sent) error {
	line := report.Notice(j.room.ID(), report.KindSending, time.Now(), nil)
	line.Slot = j.slot
	line.Tracks = []report.Track{{
		Kind: string(s.src.Kind()), Codec: string(s.src.Codec()), Purpose: string(s.src.Purpose()), Packets: uint64(s.samples),
	}}
	if !s.ended {
		return j.emit(line)
	}
	if s.err != nil && !isAny(s.err, context.Canceled, client.ErrLeft, media.ErrClosed) {
		return fmt.Errorf("send %s: %w", s.src.Purpose(), s.err)
	}
	line.Kind = report.KindSent
	return j.emit(line)
}

func isAny(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}
