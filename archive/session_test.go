package archive_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/archive"
)

// fill gives every field of a value something, so that a field that a session
// gains is noticed here if it is not kept.
func fill(r *rand.Rand, v reflect.Value) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(dawn.Add(time.Duration(r.Int64N(1e6)-5e5) * time.Millisecond)))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(r, v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+r.IntN(3), 3))
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("%s ü %d", v.Type(), r.Int()))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int:
		v.SetInt(r.Int64N(1e9))
	default:
		panic("a session holds a " + v.Type().String() + ", of which this test knows nothing")
	}
}

func TestSessionsAreKeptWhole(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		var want matrixrtc.PastSession
		fill(r, reflect.ValueOf(&want).Elem())
		want.FirstEvent = "$9Fv0LC8v1gYCk5YLEB5L6kUPZHCIYrHOB2pDbbs_bWE"
		want.Key = matrixrtc.SessionKey{} // columns hold it
		body := archive.AppendSession(nil, &want)
		got, err := archive.ReadSession(body)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-kept +read):\n%s", diff)
		}
		if !bytes.Contains(body, []byte("ü")) || bytes.Contains(body, []byte("$9Fv0LC8")) {
			t.Errorf("body %q", body)
		}
		for n := range body {
			if s, err := archive.ReadSession(body[:n]); err == nil {
				t.Fatalf("the first %d bytes of %d read as %+v", n, len(body), s)
			}
		}
	}
	empty, err := archive.ReadSession(archive.AppendSession(nil, &matrixrtc.PastSession{}))
	if diff := cmp.Diff(matrixrtc.PastSession{}, empty); err != nil || diff != "" {
		t.Errorf("an empty session: %v\n%s", err, diff)
	}
}

func FuzzReadSession(f *testing.F) {
	s := matrixrtc.PastSession{Application: "m.call", Start: dawn, Participants: []matrixrtc.Participant{{User: "@a:x"}}}
	f.Add(archive.AppendSession(nil, &s))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := archive.ReadSession(b)
		if err != nil {
			return
		}
		again, err := archive.ReadSession(archive.AppendSession(nil, &s))
		if diff := cmp.Diff(s, again); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
	})
}
