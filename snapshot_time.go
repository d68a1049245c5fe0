package matrixrtc

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// SnapshotTime is a time as a snapshot writes it: milliseconds since 1970 as a
// number, with up to six decimals where the time has parts of a millisecond.
type SnapshotTime struct{ time.Time }

// maxMillis bounds the times of a snapshot: 2^53 is the greatest that an event
// states, and a lifetime of 100 years may come on top.
const maxMillis = 1e16

// MarshalJSON implements json.Marshaler.
func (t SnapshotTime) MarshalJSON() ([]byte, error) {
	ms, part := t.UnixMilli(), int64(t.Nanosecond()%1e6)
	if ms > maxMillis || ms < -maxMillis {
		return nil, fmt.Errorf("the time %v does not fit into a snapshot", t.Time)
	}
	var b []byte
	if ms < 0 && part > 0 { // counted from below; written from zero
		ms, part = ms+1, 1e6-part
		if ms == 0 {
			b = append(b, '-')
		}
	}
	b = strconv.AppendInt(b, ms, 10)
	if part > 0 {
		b = bytes.TrimRight(fmt.Appendf(b, ".%06d", part), "0")
	}
	return b, nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *SnapshotTime) UnmarshalJSON(text []byte) error {
	whole, decimals, _ := bytes.Cut(text, []byte("."))
	ms, err := strconv.ParseInt(string(whole), 10, 64)
	if err != nil || ms > maxMillis || ms < -maxMillis || len(decimals) > 6 {
		return fmt.Errorf("a time of a snapshot is not a number of milliseconds: %.40s", text)
	}
	part := int64(0)
	if len(decimals) > 0 {
		n, err := strconv.ParseUint(string(decimals)+"000000"[len(decimals):], 10, 32)
		if err != nil {
			return fmt.Errorf("a time of a snapshot is not a number of milliseconds: %.40s", text)
		}
		if part = int64(n); whole[0] == '-' {
			part = -part
		}
	}
	t.Time = time.UnixMilli(ms).Add(time.Duration(part)).UTC()
	return nil
}
