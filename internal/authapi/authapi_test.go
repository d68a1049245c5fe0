package authapi

import (
	"encoding/json"
	"testing"
)

// The key names are what deployed services accept; one more key is refused by
// them, so the exact text is the contract.
func TestWireNames(t *testing.T) {
	t.Parallel()
	tok := json.RawMessage(`{"access_token":"tok","expires_in":3600,"matrix_server_name":"one.example","token_type":"Bearer"}`)
	for _, c := range []struct {
		in   any
		want string
	}{
		{SFUGetRequest{Room: "!r:one.example", OpenIDToken: tok, DeviceID: "PHONE"},
			`{"room":"!r:one.example","openid_token":` + string(tok) + `,"device_id":"PHONE"}`},
		{SFUGetRequest{Room: "!r", OpenIDToken: tok, Delay: Delay{"d1", 8000, "https://hs"}},
			`{"room":"!r","openid_token":` + string(tok) + `,"device_id":"","delay_id":"d1","delay_timeout":8000,"delay_cs_api_url":"https://hs"}`},
		{GetTokenRequest{RoomID: "!r", SlotID: "m.call#ROOM", OpenIDToken: tok, Member: Member{"6d0e", "@ann:one.example", "PHONE"}},
			`{"room_id":"!r","slot_id":"m.call#ROOM","openid_token":` + string(tok) +
				`,"member":{"id":"6d0e","claimed_user_id":"@ann:one.example","claimed_device_id":"PHONE"}}`},
		{TokenResponse{"wss://sfu", "eyJ"}, `{"url":"wss://sfu","jwt":"eyJ"}`},
		{&Error{Code: CodeLimitExceeded, Message: "slow down", RetryAfter: 500},
			`{"errcode":"M_LIMIT_EXCEEDED","error":"slow down","retry_after_ms":500}`},
		{&Error{Code: CodeNotJSON, Message: "no"}, `{"errcode":"M_NOT_JSON","error":"no"}`},
	} {
		got, err := json.Marshal(c.in)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}
