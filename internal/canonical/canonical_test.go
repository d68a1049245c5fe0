package canonical

import "testing"

// The vectors of MSC4195 and of deployed services.
func TestHashVectors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   []string
		want string
	}{
		{[]string{"!roomid:example.com", "slot1234"}, "O8437W3+jmzMVjoIP3tNwbm+XxHQk2iKpOA7aqw3qSc"},
		{[]string{"!room:example.org", "m.call#ROOM"}, "TK4o8wNCXi5t5936bOvIzE/X3XFc7cgp3jGRDqK0j5E"},
		{[]string{"@alice:example.com", "DEVICE123", "memberABC"}, "J+T45tGruxc+HrUOqJJlyQSV33m728Cme4+vt8/SWrU"},
		{[]string{"@alice:example.com", "memberABC"}, "M3VnsLXrkbxIDINXO64u8PZzFyD9ZYFiQULR2dshWYs"},
		{[]string{"!a<b>&c:example.org", "m.call#ROOM"}, "+i4WHmxOVfdSfFV+gM6DdLfTzkvWUho9HE1jkszDhbs"},
		{[]string{"!roomid:example.com", "slot123", "random123"}, "IMeDd+K3MIqJTI20EXBIrepKkhhORvf3q8fx3rlrhTk"},
	} {
		if got := Hash(c.in...); got != c.want {
			t.Errorf("Hash(%q) = %s, want %s", c.in, got, c.want)
		}
	}
}

func TestStringArrayEscapes(t *testing.T) {
	t.Parallel()
	got := string(StringArray(nil, "a\"b\\c\n\t\x01\u007f", "é<&>\u2028", "\xff"))
	want := "[\"a\\\"b\\\\c\\n\\t\\u0001\u007f\",\"é<&>\u2028\",\"\ufffd\"]"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
