package xmatrix

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The examples of the specification (appendices, "Canonical JSON").
func TestCanonical(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{}`:                            `{}`,
		`{"one": 1, "two": "Two"}`:      `{"one":1,"two":"Two"}`,
		`{"b": "2", "a": "1"}`:          `{"a":"1","b":"2"}`,
		`{"a": "日本語"}`:                  `{"a":"日本語"}`,
		`{"本": 2, "日": 1}`:              `{"日":1,"本":2}`,
		`{"a": "\u65E5"}`:               `{"a":"日"}`,
		`{"a": null}`:                   `{"a":null}`,
		`{"a": -0}`:                     `{"a":0}`,
		`[true, false, [], {"x":[{}]}]`: `[true,false,[],{"x":[{}]}]`,
		`"<>&\u2028\/"`:                 `"<>&` + "\u2028" + `/"`,
		`9007199254740991`:              `9007199254740991`,
		`9007199254740992`:              "",
		`1.5`:                           "",
		`1e3`:                           "",
		`{"a":1,"a":2}`:                 "",
		`{`:                             "",
		`[1`:                            "",
		`{} {}`:                         "",
		``:                              "",
		strings.Repeat("[", 101):        "",
		strings.Repeat("[", 90) + strings.Repeat("]", 90): strings.Repeat("[", 90) + strings.Repeat("]", 90),
	} {
		got, err := Canonical([]byte(in))
		if (err != nil) != (want == "") || string(got) != want {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
}

func testKey(t *testing.T) *Key {
	t.Helper()
	// The key of the specification's examples (appendices, "Signing JSON").
	k, err := ParseKey([]byte("ed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1\n"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The signature of {} that the specification gives.
func TestSpecificationVector(t *testing.T) {
	t.Parallel()
	sig := base64.RawStdEncoding.EncodeToString(ed25519.Sign(testKey(t).Private, []byte("{}")))
	if sig != "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ" {
		t.Error(sig)
	}
}

func TestSignAndVerify(t *testing.T) {
	t.Parallel()
	k := testKey(t)
	public := k.Private.Public().(ed25519.PublicKey)
	r := Request{Method: "POST", URI: "/x?a=%2F", Origin: "a.example", Destination: "b.example", Content: []byte(`{"b":1,"a":"<"}`)}
	h, err := k.Sign(r)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Parse(h)
	if err != nil {
		t.Fatal(err)
	}
	if a.Origin != "a.example" || a.Destination != "b.example" || a.KeyID != "ed25519:1" {
		t.Errorf("%+v", a)
	}
	if err := a.Verify(r, public); err != nil {
		t.Error(err)
	}
	r.Content = []byte(`{ "a" : "\u003c", "b":1 }`) // the same JSON
	if err := a.Verify(r, public); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Request){
		"method": func(r *Request) { r.Method = "PUT" }, "uri": func(r *Request) { r.URI = "/x?a=/" },
		"content": func(r *Request) { r.Content = []byte(`{"b":2,"a":"<"}`) }, "no content": func(r *Request) { r.Content = nil },
		"bad content": func(r *Request) { r.Content = []byte(`{"b":1.5}`) },
	} {
		bad := r
		change(&bad)
		if a.Verify(bad, public) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if a.Verify(r, public[:31]) == nil || a.Verify(r, nil) == nil {
		t.Error("half a key is accepted")
	}
	if got, err := (Request{Method: "GET", URI: "/x", Origin: "a"}).canonical(); err != nil || string(got) != `{"method":"GET","origin":"a","uri":"/x"}` {
		t.Errorf("%s, %v", got, err)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	sig := base64.RawStdEncoding.EncodeToString(make([]byte, 64))
	want := &Authorization{Origin: "a.example", Destination: "b.example", KeyID: "ed25519:1", Signature: make([]byte, 64)}
	for _, h := range []string{
		`X-Matrix origin="a.example",destination="b.example",key="ed25519:1",sig="` + sig + `"`,
		`X-Matrix origin=a.example,destination=b.example,key=ed25519:1,sig="` + sig + `==",new="x"`,
		"x-matrix  sig=\"" + sig + "\" , Key=\"ed25519:1\",\tORIGIN=\"a\\.example\", destination = b.example",
	} {
		got, err := Parse(h)
		if err != nil {
			t.Errorf("%s: %v", h, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s:\n%s", h, d)
		}
	}
	for _, h := range []string{
		"", "X-Matrix", "X-Matrix origin", `X-Matrix origin="a`, `X-Matrix origin="a\`,
		`X-Matrix origin=a,key=ed25519:1,sig=x`, `X-Matrix origin=a,origin=b,key=ed25519:1,sig=` + sig,
		`X-Matrix key=ed25519:1,sig=` + sig, `X-Matrix origin=a,key=rsa:1,sig=` + sig, `X-Matrix origin="a"key="ed25519:1"`,
		`X-Matrix origin=` + strings.Repeat("a", 5000) + `,key=ed25519:1,sig=` + sig,
	} {
		if got, err := Parse(h); err == nil {
			t.Errorf("%.60s: %+v", h, got)
		}
	}
	if _, err := Parse("Bearer x"); !errors.Is(err, ErrNotXMatrix) {
		t.Errorf("Bearer: %v", err)
	}
}

func TestParseKeys(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_790_000_000_000)
	k := testKey(t)
	make := func(change func(map[string]any), sign bool) []byte {
		doc := map[string]any{
			"server_name": "a.example", "valid_until_ts": now.Add(time.Hour).UnixMilli(),
			"verify_keys":     map[string]any{k.ID: map[string]any{"key": base64.RawStdEncoding.EncodeToString(k.Private.Public().(ed25519.PublicKey))}},
			"old_verify_keys": map[string]any{"ed25519:0": map[string]any{"key": "x", "expired_ts": 1}},
		}
		if change != nil {
			change(doc)
		}
		plain, _ := json.Marshal(doc)
		if sign {
			signed, err := Canonical(plain)
			if err != nil {
				t.Fatal(err)
			}
			doc["signatures"] = map[string]any{"a.example": map[string]any{k.ID: base64.RawStdEncoding.EncodeToString(ed25519.Sign(k.Private, signed))}}
			plain, _ = json.Marshal(doc)
		}
		return plain
	}
	keys, err := ParseKeys(make(nil, true), "a.example", now)
	if err != nil || len(keys.Valid) != 1 || !keys.Valid[k.ID].Equal(k.Private.Public()) || !keys.Until.Equal(now.Add(time.Hour)) {
		t.Fatalf("%+v, %v", keys, err)
	}
	for name, doc := range map[string][]byte{
		"garbage":       []byte("x"),
		"not signed":    make(nil, false),
		"another's":     make(func(d map[string]any) { d["server_name"] = "b.example" }, true),
		"too old":       make(func(d map[string]any) { d["valid_until_ts"] = now.UnixMilli() }, true),
		"no keys":       make(func(d map[string]any) { d["verify_keys"] = map[string]any{} }, true),
		"changed after": []byte(strings.Replace(string(make(nil, true)), `"old_verify_keys":{`, `"old_verify_keys":{"ed25519:9":{},`, 1)),
		"a key twice":   []byte(strings.Replace(string(make(nil, true)), `{`, `{"server_name":"b.example",`, 1)),
	} {
		if keys, err := ParseKeys(doc, "a.example", now); err == nil {
			t.Errorf("%s: %+v", name, keys)
		}
	}
	// A key that has not signed does not count beside one that has.
	stolen := make(func(d map[string]any) {
		d["verify_keys"].(map[string]any)["ed25519:stolen"] = map[string]any{"key": base64.RawStdEncoding.EncodeToString(ed25519.NewKeyFromSeed([]byte(strings.Repeat("x", 32))).Public().(ed25519.PublicKey))}
	}, true)
	if keys, err := ParseKeys(stolen, "a.example", now); err != nil || len(keys.Valid) != 1 {
		t.Errorf("%+v, %v", keys, err)
	}
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	k := testKey(t)
	dendrite := pem.EncodeToMemory(&pem.Block{Type: "MATRIX PRIVATE KEY", Headers: map[string]string{"Key-ID": "ed25519:1"}, Bytes: k.Private.Seed()})
	got, err := ParseKey(dendrite)
	if err != nil || got.ID != k.ID || !got.Private.Equal(k.Private) {
		t.Errorf("%v, %v", got, err)
	}
	for _, file := range []string{
		"", "\n# nothing\n", "ed25519 1", "rsa 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1", "ed25519 1 YJDB", "ed25519 1 !!!",
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: k.Private.Seed()})),
		string(pem.EncodeToMemory(&pem.Block{Type: "MATRIX PRIVATE KEY", Headers: map[string]string{"Key-ID": "ed25519:1"}, Bytes: []byte("short")})),
	} {
		if got, err := ParseKey([]byte(file)); err == nil || len(file) > 20 && strings.Contains(err.Error(), "YJDB") {
			t.Errorf("%.20q: %v, %v", file, got, err)
		}
	}
}

// A header that is read names an origin and a key, and says the same when it is
// written again.
func FuzzParse(f *testing.F) {
	f.Add(`X-Matrix origin="a.example",destination="b.example",key="ed25519:1",sig="` + base64.RawStdEncoding.EncodeToString(make([]byte, 64)) + `"`)
	f.Add(`X-Matrix a="\"",b = c,d`)
	f.Add(`x-matrix origin=a,key=ed25519:,sig=` + strings.Repeat("A", 86) + `==`)
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	f.Fuzz(func(t *testing.T, header string) {
		a, err := Parse(header)
		if err != nil {
			if len(err.Error()) > 200 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if a.Origin == "" || len(a.Signature) != 64 || !strings.HasPrefix(a.KeyID, "ed25519:") {
			t.Errorf("%+v", a)
		}
		written := `X-Matrix origin="` + quote.Replace(a.Origin) + `",destination="` + quote.Replace(a.Destination) +
			`",key="` + quote.Replace(a.KeyID) + `",sig="` + base64.RawStdEncoding.EncodeToString(a.Signature) + `"`
		again, err := Parse(written)
		if err != nil && len(written) <= 4096 || err == nil && !cmp.Equal(a, again) {
			t.Errorf("%q: %+v, then %+v, %v", header, a, again, err)
		}
		if key := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey); a.Verify(Request{Method: "POST", URI: "/"}, key) == nil {
			t.Errorf("%q is a signature", header)
		}
	})
}

// Keys that are believed are those of the server that was asked, and good for now.
func FuzzParseKeys(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	now := time.UnixMilli(1_790_000_000_000)
	doc := `{"server_name":"a.example","valid_until_ts":1790000001000,"verify_keys":{"ed25519:1":{"key":"` +
		base64.RawStdEncoding.EncodeToString(key.Public().(ed25519.PublicKey)) + `"}}}`
	plain, err := Canonical([]byte(doc))
	if err != nil {
		f.Fatal(err)
	}
	sig := base64.RawStdEncoding.EncodeToString(ed25519.Sign(key, plain))
	f.Add([]byte(doc[:len(doc)-1] + `,"signatures":{"a.example":{"ed25519:1":"` + sig + `"}}}`))
	f.Add([]byte(doc))
	f.Add([]byte(`{"server_name":"a.example","valid_until_ts":1e300,"verify_keys":null}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		keys, err := ParseKeys(doc, "a.example", now)
		if err != nil {
			return
		}
		if len(keys.Valid) == 0 || len(keys.Valid) > maxKeys || !keys.Until.After(now) {
			t.Errorf("%+v", keys)
		}
		for id, k := range keys.Valid {
			if len(k) != ed25519.PublicKeySize || !strings.HasPrefix(id, "ed25519:") || !bytes.Contains(doc, []byte("signatures")) {
				t.Errorf("%q: %x", id, k)
			}
		}
		if _, err := ParseKeys(doc, "b.example", now); err == nil {
			t.Error("they are another server's, too")
		}
		if _, err := ParseKeys(doc, "a.example", keys.Until); err == nil {
			t.Error("they never end")
		}
	})
}

// A key file that is read gives a key that signs; one that is not is not repeated.
func FuzzParseKey(f *testing.F) {
	f.Add([]byte("ed25519 a_1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"))
	f.Add([]byte("-----BEGIN MATRIX PRIVATE KEY-----\nKey-ID: ed25519:1\n\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n-----END MATRIX PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		k, err := ParseKey(file)
		if err != nil {
			if len(err.Error()) > 200 || len(file) > 40 && strings.Contains(err.Error(), string(file)) {
				t.Errorf("%v", err)
			}
			return
		}
		if !strings.HasPrefix(k.ID, "ed25519:") || len(k.Private) != ed25519.PrivateKeySize {
			t.Errorf("%q, %d bytes", k.ID, len(k.Private))
		}
		if _, err := k.Sign(Request{Method: "GET", URI: "/", Origin: "a", Destination: "b"}); err != nil {
			t.Error(err)
		}
	})
}

// Canonical JSON means the same as what it was made from, and is its own
// canonical form.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{`{"b":[1,-2,null],"a":"\u0001é\ud83d\ude00"}`, `"\ud800"`, `{"":{}}`, "[\"\xff\"]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := Canonical(in)
		if err != nil {
			return
		}
		var before, after any
		if err := json.Unmarshal(in, &before); err != nil {
			t.Fatalf("not JSON: %v", err)
		}
		if err := json.Unmarshal(out, &after); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		if d := cmp.Diff(before, after); d != "" {
			t.Errorf("%q became %q:\n%s", in, out, d)
		}
		if again, err := Canonical(out); err != nil || string(again) != string(out) {
			t.Errorf("%q became %q, %v", out, again, err)
		}
	})
}
