package auth

import (
	"strings"
	"testing"
)

// JSON that is odd and not broken: what of it is taken, and as what. No two rooms or
// participants become one by it.
func TestOddJSON(t *testing.T) {
	t.Parallel()
	good := sfuGetBody("tok-ann", "one.example", "")
	with := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	const room = "!room:example.org"
	for name, c := range map[string]struct {
		body     string
		status   int
		room     string
		identity string
	}{
		"plain":                     {good, 200, room, annPhone},
		"escaped":                   {with(room, `\u0021room\u003aexample.org`), 200, room, annPhone},
		"white space":               {"\r\n\t " + strings.ReplaceAll(good, ",", " ,\n"), 200, room, annPhone},
		"the last of two counts":    {with(`{"room"`, `{"room":"!other:x","room"`), 200, room, annPhone},
		"a zero is a letter":        {with(room, `!r\u0000:x`), 200, "!r\x00:x", annPhone},
		"a zero in the device":      {with("PHONE", `P\u0000`), 200, room, "@ann:one.example:P\x00"},
		"a room of another form":    {with(room, `!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM`), 200, "!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM", annPhone},
		"not UTF-8 in the room":     {with(room, "!\xff:x"), 400, "", ""},
		"not UTF-8 in the device":   {with("PHONE", "\xc3("), 400, "", ""},
		"UTF-8 made too long":       {with("PHONE", "\xc0\xaf"), 400, "", ""},
		"half a letter in UTF-8":    {with("PHONE", "\xed\xa0\x80"), 400, "", ""},
		"another encoding":          {strings.ReplaceAll(good, "", "\x00"), 400, "", ""},
		"a byte order mark":         {"\ufeff" + good, 400, "", ""},
		"a zero byte":               {with(room, "!r\x00:x"), 400, "", ""},
		"a line in text":            {with("PHONE", "PH\nONE"), 400, "", ""},
		"a comment":                 {"/* x */" + good, 400, "", ""},
		"a comma too many":          {good[:len(good)-1] + ",}", 400, "", ""},
		"single quotes":             {strings.ReplaceAll(good, `"`, `'`), 400, "", ""},
		"a number too large":        {with("3600", "1e400"), 400, "", ""},
		"a number with a fraction":  {with("3600", "3600.5"), 400, "", ""},
		"not a number":              {with("3600", "NaN"), 400, "", ""},
		"a number beyond":           {with("3600", "9223372036854775808"), 400, "", ""},
		"a long room":               {with(room, "!"+strings.Repeat("r", maxID)), 400, "", ""},
		"a long device":             {with("PHONE", strings.Repeat("D", maxID+1)), 400, "", ""},
		"as long as may be":         {with("PHONE", strings.Repeat("D", maxID)), 200, room, "@ann:one.example:" + strings.Repeat("D", maxID)},
		"a user who is an address":  {with("tok-ann", "tok-ann:one.example@evil"), 401, "", ""},
		"a server in capitals":      {with("one.example", "ONE.example"), 401, "", ""},
		"a server with a dot after": {with("one.example", "one.example."), 401, "", ""},
		"a server with a user":      {with("one.example", "ann@one.example"), 401, "", ""},
		"a server with a line":      {with("one.example", `one.example\r\nHost: x`), 401, "", ""},
		"a server with a zero":      {with("one.example", `one.example\u0000.evil`), 401, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newInternet()
			s := newTestService(t, &rooms{}, &Options{DNS: n})
			w := post(s, "/sfu/get", c.body)
			if w.Code != c.status {
				t.Fatalf("%d %s, want %d", w.Code, w.Body, c.status)
			}
			if c.status != 200 {
				return
			}
			if _, grants, _ := decodeToken(t, w); grants.Video.Room != hashOf(c.room, "m.call#ROOM") || grants.Identity != c.identity {
				t.Errorf("%q, %q", grants.Video.Room, grants.Identity)
			}
		})
	}
}
