package matrixrtc

import (
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

var (
	_ encoding.BinaryAppender    = (*Record)(nil)
	_ encoding.BinaryMarshaler   = (*Record)(nil)
	_ encoding.BinaryUnmarshaler = (*Record)(nil)
)

// The binary form of a record is a version, the kind, and of each field that is
// not zero its number and its value. Numbers are never used for something else,
// so that records of today stay readable.
const recordVersion = 1

var (
	errRecordShort = errors.New("a record in binary form is cut off")
	errRecordField = errors.New("a record in binary form holds a field that this program does not know: it was written by a newer one")
)

// AppendBinary implements encoding.BinaryAppender. The Room is left out: an
// archive knows it. It does not fail.
func (r *Record) AppendBinary(b []byte) ([]byte, error) {
	w := recordWriter{b: append(b, recordVersion, byte(r.Kind))}
	recordFields(&w, r)
	return w.b, nil
}

// MarshalBinary implements encoding.BinaryMarshaler, as AppendBinary does.
func (r *Record) MarshalBinary() ([]byte, error) { return r.AppendBinary(nil) }

// UnmarshalBinary implements encoding.BinaryUnmarshaler. It reads what
// AppendBinary wrote and leaves Room as it is.
func (r *Record) UnmarshalBinary(b []byte) error {
	if len(b) < 2 {
		return errRecordShort
	}
	if b[0] != recordVersion {
		return fmt.Errorf("a record in binary form is of version %d, and this program reads version %d", b[0], recordVersion)
	}
	*r = Record{Room: r.Room, Kind: RecordKind(b[1])}
	f := recordReader{b: b[2:]}
	recordFields(&f, r)
	if f.err == nil && len(f.b) > 0 {
		f.err = errRecordField
	}
	return f.err
}

// fieldCoder writes or reads one field after the other.
type fieldCoder interface {
	text(n byte, s *string)
	number(n byte, i *int64)
	flag(n byte, b *bool)
	claims(n byte, c *[]RecordClaim)
}

// recordFields is the order of the fields for both ways.
func recordFields(f fieldCoder, r *Record) {
	f.text(1, (*string)(&r.Event))
	f.text(2, &r.Type)
	f.text(3, (*string)(&r.Sender))
	f.number(4, &r.Time)
	f.text(5, &r.Key)
	f.claims(6, &r.Claims)
	f.flag(7, &r.Invalid)
	f.flag(8, &r.Read)
	f.number(9, &r.Sticky)
	f.flag(10, &r.Encrypted)
	f.flag(11, &r.Redacted)
	f.number(12, &r.RedactedAt)
	f.text(13, (*string)(&r.Replaces))
	f.flag(14, &r.Previous)
	f.claims(15, &r.PreviousClaims)
	f.flag(16, &r.Joined)
	f.flag(17, &r.Open)
	f.text(18, &r.Application)
	f.text(19, (*string)(&r.Target))
	f.text(20, &r.Ring)
	f.text(21, (*string)(&r.Slot))
	f.number(22, &r.Lifetime)
	f.text(23, (*string)(&r.Version))
	f.flag(24, &r.Secured)
}

func claimFields(f fieldCoder, c *RecordClaim) {
	f.text(1, (*string)(&c.Dialect))
	f.text(2, (*string)(&c.Slot))
	f.text(3, (*string)(&c.LiteralSlot))
	f.text(4, &c.Application)
	f.text(5, &c.CallID)
	f.flag(6, &c.HasCallID)
	f.text(7, (*string)(&c.Device))
	f.text(8, (*string)(&c.Member))
	f.number(9, &c.Created)
	f.flag(10, &c.CreatedStated)
	f.number(11, &c.Expires)
}

// recordWords are texts that nearly every record holds. They are written as
// their index; new ones go to the end.
var recordWords = [...]string{
	TypeMember, TypeMemberUnstable, TypeCallMember, TypeFamedlyMember, TypeSlot, TypeSlotUnstable,
	TypeRoomMember, TypeRoomEncryption, TypeRoomCreate, TypeRoomRedaction,
	TypeNotification, TypeNotificationUnstable, TypeNotify, TypeNotifyUnstable, TypeDecline, TypeDeclineUnstable,
	string(DialectSlot), string(DialectSticky), string(DialectCall), string(DialectDraft), string(DialectArray), string(DialectFamedly),
	AppCall, string(RoomCall), "ring", "notification",
}

type recordWriter struct{ b []byte }

func (w *recordWriter) text(n byte, s *string) {
	if *s == "" {
		return
	}
	w.b = append(w.b, n)
	if i := slices.Index(recordWords[:], *s); i >= 0 {
		w.b = binary.AppendUvarint(w.b, uint64(i)<<1|1)
		return
	}
	w.b = binary.AppendUvarint(w.b, uint64(len(*s))<<1)
	w.b = append(w.b, *s...)
}

func (w *recordWriter) number(n byte, i *int64) {
	if *i != 0 {
		w.b = binary.AppendVarint(append(w.b, n), *i)
	}
}

func (w *recordWriter) flag(n byte, b *bool) {
	if *b {
		w.b = append(w.b, n)
	}
}

func (w *recordWriter) claims(n byte, list *[]RecordClaim) {
	if len(*list) == 0 {
		return
	}
	w.b = binary.AppendUvarint(append(w.b, n), uint64(len(*list)))
	for i := range *list {
		claimFields(w, &(*list)[i])
		w.b = append(w.b, 0)
	}
}

type recordReader struct {
	b   []byte
	err error
}

// next reports whether field n comes next.
func (r *recordReader) next(n byte) bool {
	if r.err != nil || len(r.b) == 0 || r.b[0] != n {
		return false
	}
	r.b = r.b[1:]
	return true
}

func (r *recordReader) uint() uint64 {
	i, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.err, r.b = errRecordShort, nil
		return 0
	}
	r.b = r.b[n:]
	return i
}

func (r *recordReader) text(n byte, s *string) {
	if !r.next(n) {
		return
	}
	i := r.uint()
	switch {
	case i&1 == 1 && i>>1 < uint64(len(recordWords)):
		*s = recordWords[i>>1]
	case i&1 == 1:
		r.err = errRecordField
	case i>>1 > uint64(len(r.b)):
		r.err = errRecordShort
	default:
		*s = string(r.b[:i>>1])
		r.b = r.b[i>>1:]
	}
}

func (r *recordReader) number(n byte, i *int64) {
	if !r.next(n) {
		return
	}
	v, size := binary.Varint(r.b)
	if size <= 0 {
		r.err = errRecordShort
		return
	}
	*i, r.b = v, r.b[size:]
}

func (r *recordReader) flag(n byte, b *bool) { *b = r.next(n) }

func (r *recordReader) claims(n byte, list *[]RecordClaim) {
	if !r.next(n) {
		return
	}
	for i := r.uint(); i > 0 && r.err == nil; i-- {
		var c RecordClaim
		claimFields(r, &c)
		if r.err == nil && !r.next(0) {
			r.err = errRecordShort
			if len(r.b) > 0 {
				r.err = errRecordField
			}
		}
		*list = append(*list, c)
	}
}
