package jsonscan

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

var shapePaths = []string{"type", "a", "content", "content/a", "content/b/a", "content/type", "n"}

// byWalking reads the values at the paths as Fields yields them.
func byWalking(text []byte) (values []Value) {
	for _, p := range shapePaths {
		v := Value(text)
		for _, key := range strings.Split(p, "/") {
			var next Value
			for fields := v.Fields(); fields.Next(); {
				if string(fields.Key()) == key {
					next = fields.Value()
				}
			}
			v = next
		}
		values = append(values, v)
	}
	return values
}

// shapely feeds objects to a Shapes and holds what it reads against a walk.
func shapely(t *testing.T, s *Shapes, text []byte) (known bool) {
	t.Helper()
	places := make([]Place, len(shapePaths))
	_, known = s.Read(text, places)
	valid := Valid(text) == nil && Value(text).Kind() == Object && len(Trim(text)) == len(text)
	if !known {
		if valid {
			s.Learn(text, func() (int, bool) { return 1, true })
		}
		return false
	}
	if !valid {
		t.Fatalf("%q is not valid, and was read", text)
	}
	for i, v := range byWalking(text) {
		if got := places[i].In(text); !bytes.Equal(v, got) || (v == nil) != (got == nil) {
			t.Fatalf("%q: %s is %q, and was read as %q", text, shapePaths[i], v, got)
		}
	}
	return true
}

// TestShapes: what is like something that was learned is read without a walk, and
// nothing else is.
func TestShapes(t *testing.T) {
	t.Parallel()
	s := NewShapes("type", shapePaths...)
	r := rand.New(rand.NewPCG(1, 1))
	text := func() []byte {
		b := fmt.Appendf(nil, `{"type":"%c","a":"v%d","n":%d,"content":{"a":%d,"b":{"a":"x%d","c":[1,%d]},"type":"y"}}`,
			'p'+r.IntN(2), r.IntN(100), r.IntN(1000), r.IntN(10), r.IntN(1000), r.IntN(5))
		if r.IntN(3) == 0 {
			b = fmt.Appendf(nil, `{"type":"z","a":"%d","content":{}}`, r.IntN(1000))
		}
		return b
	}
	for range 200 {
		shapely(t, s, text())
	}
	known := 0
	for range 1000 {
		if shapely(t, s, text()) {
			known++
		}
	}
	if known < 990 {
		t.Errorf("%d of 1000 are known", known)
	}
	for range 20_000 { // and what is nearly like it
		b := text()
		for range r.IntN(3) {
			b[r.IntN(len(b))] = `"\{}[]:,01-eaxt. `[r.IntN(17)]
		}
		shapely(t, s, b)
	}
}

// TestShapesRefuse: a text in which a key stands twice has no shape, and learning
// gives up on what is never alike.
func TestShapesRefuse(t *testing.T) {
	t.Parallel()
	s := NewShapes("type", shapePaths...)
	places := make([]Place, len(shapePaths))
	for _, text := range []string{`{"a":1,"a":2}`, `{"content":{"b":{"x":1,"x":1}}}`, `{"\u0061":1}`, `{"b":` + strings.Repeat("[", 30) + strings.Repeat("]", 30) + `}`} {
		s.Learn([]byte(text), func() (int, bool) { return 0, true })
		if _, ok := s.Read([]byte(text), places); ok {
			t.Errorf("%s has a shape", text)
		}
	}
	learned := 0
	for i := range 20_000 {
		text := fmt.Appendf(nil, `{"k%d":1}`, i)
		if _, ok := s.Read(text, places); !ok {
			s.Learn(text, func() (int, bool) { learned++; return 0, true })
		}
	}
	if learned > 100 {
		t.Errorf("%d shapes were learned of texts that are all different", learned)
	}
}

// FuzzShapes: see TestShapes. The first text is learned, the second one read.
func FuzzShapes(f *testing.F) {
	f.Add([]byte(`{"type":"x","a":"1","content":{"a":2}}`), []byte(`{"type":"x","a":"2","content":{"a":3}}`))
	f.Add([]byte(`{"a":"1","n":12}`), []byte(`{"a":"\n","n":-1e5}`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		s := NewShapes("type", shapePaths...)
		shapely(t, s, a)
		shapely(t, s, b)
		shapely(t, s, b)
		shapely(t, s, a)
	})
}

func BenchmarkShapes(b *testing.B) {
	text := func(i int) []byte {
		return fmt.Appendf(nil, `{"type":"org.matrix.msc3401.call.member","room_id":"!bench:example.org","sender":"@user%d.name:example.org","state_key":"_@user1.name:example.org_ABCDEFGHIJ_m.call","event_id":"$%04dbcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ","origin_server_ts":%d,"content":{"application":"m.call","call_id":"","scope":"m.room","device_id":"ABCDEF%04d","expires":14400000,"m.call.intent":"video","focus_active":{"type":"livekit","focus_selection":"oldest_membership"},"foci_preferred":[{"type":"livekit","livekit_service_url":"https://livekit-jwt.example.org","livekit_alias":"!bench:example.org"}],"membershipID":"@user%d.name:example.org:ABCDEFGHIJ"},"unsigned":{"age":1234}}`, i, i, 1760000000000+i, i, i)
	}
	s := NewShapes("type", "type", "room_id", "sender", "state_key", "event_id", "origin_server_ts", "content", "content/application", "content/call_id", "content/device_id")
	places := make([]Place, 10)
	texts := make([][]byte, 64)
	for i := range texts {
		texts[i] = text(i)
		if _, ok := s.Read(texts[i], places); !ok {
			s.Learn(texts[i], func() (int, bool) { return 0, true })
		}
	}
	b.SetBytes(int64(len(texts[0])))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, ok := s.Read(texts[i%64], places); !ok {
			b.Fatal("not known")
		}
	}
}
