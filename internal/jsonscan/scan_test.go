package jsonscan

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// documents are seeds for the fuzzers and cases for the comparison.
var documents = []string{
	`{}`, `[]`, ` { "a" : [ 1 , 2.5e-3 , -0 , {"b":null} ] , "c" : true } `,
	`{"a":1,"a":2,"A":3}`, `"\u00e9\ud83d\ude00\ud800x\n\/"`, `{"\u0061":"b"}`,
	`{`, `[1,]`, `{"a":}`, `{"a" 1}`, `{"a":1,}`, `[1 2]`, `01`, `-`, `1.`, `1e`, `+1`, `tru`, `nul`, `"a`, `"\x"`, `"\u12"`,
	"\"\x01\"", "\"\xff\"", ``, ` `, `{} {}`, `{"a":{"b":{"c":[[[]]]}}}`, `{"k\"ey":1}`, `{"\\":1}`, `9007199254740993`, `1e400`, `-1e400`,
	strings.Repeat("[", 100) + strings.Repeat("]", 100),
}

func TestAcceptsWhatEncodingJSONAccepts(t *testing.T) {
	t.Parallel()
	for _, d := range documents {
		compare(t, []byte(d))
	}
}

func compare(t *testing.T, d []byte) {
	t.Helper()
	err := Valid(d)
	want := json.Valid(d) && utf8.Valid(d)
	if deep(d) {
		want = want && err == nil // only a refusal for depth may differ
		if err != nil && err.(*Error).Reason == "nested too deeply" {
			return
		}
	}
	if (err == nil) != want {
		t.Fatalf("Valid(%q) = %v, encoding/json says %v", d, err, want)
	}
	if err != nil {
		return
	}
	walk(t, Trim(d), 0)
	alike(t, Trim(d), 0)
}

// alike reads a valid value with the walks that check and those that do not.
func alike(t *testing.T, v Value, level int) {
	t.Helper()
	if level > 20 {
		return
	}
	checked, known := Open(v), v.Fields()
	for v.Kind() == Object && checked.Next() {
		if !known.Next() || string(known.Key()) != string(checked.Key()) || string(known.Value()) != string(checked.Value()) {
			t.Fatalf("%q: %q = %q, without checking %q = %q", v, checked.Key(), checked.Value(), known.Key(), known.Value())
		}
		alike(t, known.Value(), level+1)
	}
	each, knownEach := OpenArray(v), v.Elements()
	for v.Kind() == Array && each.Next() {
		if !knownEach.Next() || string(knownEach.Value()) != string(each.Value()) {
			t.Fatalf("%q: %q, without checking %q", v, each.Value(), knownEach.Value())
		}
		alike(t, knownEach.Value(), level+1)
	}
	if known.Next() || knownEach.Next() || known.Err() != nil || knownEach.Err() != nil {
		t.Fatalf("%q: there is more without checking", v)
	}
}

func deep(d []byte) bool { return bytes.Count(d, []byte("["))+bytes.Count(d, []byte("{")) > MaxDepth }

// walk reads a valid value with our iterators and with encoding/json, and
// holds them against each other.
func walk(t *testing.T, v Value, level int) {
	t.Helper()
	if level > 20 {
		return
	}
	switch v.Kind() {
	case Object:
		last := map[string]Value{}
		f := Open(v)
		for f.Next() {
			last[string(f.Key())] = f.Value()
			walk(t, f.Value(), level+1)
		}
		if f.Err() != nil {
			t.Fatalf("walk %q: %v", v, f.Err())
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(v, &want); err != nil {
			t.Fatal(err)
		}
		if len(want) != len(last) {
			t.Fatalf("%q: %d keys, want %d", v, len(last), len(want))
		}
		for k, raw := range want {
			if string(last[k]) != string(raw) {
				t.Fatalf("%q: key %q is %q, want %q", v, k, last[k], raw)
			}
		}
	case Array:
		n := 0
		e := OpenArray(v)
		for e.Next() {
			n++
			walk(t, e.Value(), level+1)
		}
		var want []json.RawMessage
		if err := json.Unmarshal(v, &want); err != nil || e.Err() != nil || n != len(want) {
			t.Fatalf("%q: %d elements, want %d (%v, %v)", v, n, len(want), err, e.Err())
		}
	case String:
		got, ok := v.Text()
		var want string
		if err := json.Unmarshal(v, &want); err != nil || !ok || got != want {
			t.Fatalf("text of %q is %q, want %q (%v)", v, got, want, err)
		}
	case Number:
		n, how := v.Int()
		var want float64
		if json.Unmarshal(v, &want) == nil && how == Exact && float64(n) != want {
			t.Fatalf("int of %q is %d, want %v", v, n, want)
		}
	}
}

func TestInt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		n    int64
		how  Exactness
	}{
		{"0", 0, Exact}, {"-7", -7, Exact}, {"1760000000000", 1760000000000, Exact}, {"1e3", 1000, Exact},
		{"5.0", 5, Exact}, {"1.5", 1, Rounded}, {"-1.5", -1, Rounded},
		{"9007199254740992", 1 << 53, Exact}, {"9007199254740994", 1 << 53, Unsafe},
		{"1e400", 1 << 53, Unsafe}, {"-1e400", -1 << 53, Unsafe}, {`"5"`, 0, NotNumber}, {"true", 0, NotNumber},
	} {
		if n, how := Value(c.text).Int(); n != c.n || how != c.how {
			t.Errorf("Int(%s) = %d, %d; want %d, %d", c.text, n, how, c.n, c.how)
		}
	}
}

func TestKeysKeepCaseAndDuplicates(t *testing.T) {
	t.Parallel()
	var keys []string
	f := Open([]byte(`{"a":1,"A":2,"a":3,"\u0061":4}`))
	for f.Next() {
		keys = append(keys, string(f.Key())+"="+string(f.Value()))
	}
	if got := strings.Join(keys, " "); got != "a=1 A=2 a=3 a=4" || f.Err() != nil {
		t.Errorf("got %q, %v", got, f.Err())
	}
}

func TestDepthIsBounded(t *testing.T) {
	t.Parallel()
	for _, open := range []string{"[", `{"a":`} {
		if err := Valid([]byte(strings.Repeat(open, 5_000_000))); err == nil || !strings.Contains(err.Error(), "too deeply") {
			t.Errorf("%q: %v", open, err)
		}
	}
}

func FuzzValid(f *testing.F) {
	for _, d := range documents {
		f.Add([]byte(d))
	}
	f.Fuzz(func(t *testing.T, d []byte) { compare(t, d) })
}

// FuzzKnown: even bytes that are not valid end the walks that do not check.
func FuzzKnown(f *testing.F) {
	for _, d := range documents {
		f.Add([]byte(d))
	}
	f.Fuzz(func(t *testing.T, d []byte) {
		if bytes.IndexByte(d, '\\') >= 0 {
			return // decoding a text is for valid ones
		}
		n := 0
		for fields := Value(d).Fields(); fields.Next(); n++ {
		}
		for elems := Value(d).Elements(); elems.Next(); n++ {
		}
		if n > len(d) {
			t.Fatalf("%q: %d values", d, n)
		}
	})
}

func BenchmarkFields(b *testing.B) {
	text := []byte(`{"type":"org.matrix.msc3401.call.member","room_id":"!bench:example.org","sender":"@user1.name:example.org","state_key":"_@user1.name:example.org_ABCDEFGHIJ_m.call","event_id":"$abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ","origin_server_ts":1760000000000,"content":{"application":"m.call","call_id":"","scope":"m.room","device_id":"ABCDEFGHIJ","expires":14400000,"m.call.intent":"video","focus_active":{"type":"livekit","focus_selection":"oldest_membership"},"foci_preferred":[{"type":"livekit","livekit_service_url":"https://livekit-jwt.example.org","livekit_alias":"!bench:example.org"}],"membershipID":"@user1.name:example.org:ABCDEFGHIJ"},"unsigned":{"age":1234}}`)
	for name, open := range map[string]func() Fields{
		"checked": func() Fields { return Open(text) },
		"known":   func() Fields { return Value(text).Fields() },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				f := open()
				for f.Next() {
				}
				if f.Err() != nil {
					b.Fatal(f.Err())
				}
			}
		})
	}
}
