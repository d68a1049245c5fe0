package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// keptInput is how much of a standard input, or of a pipe, is kept to be read a
// second time.
const keptInput = 1 << 30

// pastInput is a file of events, which may have to be read twice.
type pastInput struct {
	name string
	in   io.Reader // standard input
	most int64     // how much is kept of what can be read only once, in bytes
	kept *keeping  // of what can be read only once
}

// keeping is a reader that keeps what it reads, as long as it is not too much.
type keeping struct {
	r     io.Reader
	spool spool
	most  int64
	lost  bool
}

func (k *keeping) Read(p []byte) (int, error) {
	n, err := k.r.Read(p)
	if n == 0 || k.lost {
		return n, err
	}
	if k.spool.size+int64(n) > k.most {
		k.spool.discard()
		k.lost = true
	} else if _, e := k.spool.Write(p[:n]); e != nil {
		return n, e
	}
	return n, err
}

// errReadOnce: what comes in no order has to be read twice, and cannot be.
var errReadOnce = errors.New("the events are in no order of time, and more than can be kept: write them to a file and name that")

// open opens the input, the second time what was kept of it.
func (i *pastInput) open(ctx context.Context) (r io.Reader, closing func(), err error) {
	nothing := func() {}
	if i.kept != nil {
		if i.kept.lost {
			return nil, nil, &usageError{errReadOnce}
		}
		return i.kept.spool.reader(), nothing, nil
	}
	in := i.in
	if in == nil {
		f, err := interruptibly(ctx, func() (*os.File, error) { return os.Open(i.name) })
		switch {
		case ctx.Err() != nil:
			return nil, nil, ctx.Err()
		case errors.Is(err, fs.ErrNotExist):
			return nil, nil, &usageError{fmt.Errorf("%w; a room starts with ! or #, anything else is a file", err)}
		case err != nil:
			return nil, nil, &usageError{err}
		}
		in, closing = f, func() { _ = f.Close() } // read only
	} else {
		closing = nothing
	}
	if !isRegular(in) {
		i.kept = &keeping{r: &interruptible{ctx: ctx, r: in}, most: i.most}
		return i.kept, closing, nil
	}
	if i.in != nil {
		// A file that the shell has opened, perhaps not from its start.
		at, err := i.in.(io.Seeker).Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, nil, &usageError{err}
		}
		closing = func() { _, _ = i.in.(io.Seeker).Seek(at, io.SeekStart) } // for the second time
	}
	return in, closing, nil
}

// discard gives back what was kept.
func (i *pastInput) discard() {
	if i.kept != nil {
		i.kept.spool.discard()
	}
}
