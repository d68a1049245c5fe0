package devstack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// call sends one request to the homeserver as a.
func call(t *testing.T, hs *Homeserver, a Account, method, path string, body any, answer any) error {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, hs.URL()+path, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if a.AccessToken != "" {
		req.Header.Set("Authorization", "Bearer "+a.AccessToken)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 200 {
		e := &MatrixError{Status: res.StatusCode}
		json.Unmarshal(data, e)
		return e
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(data, answer)
}

// TestPlatform asks the real Dendrite for everything that the demo relies on.
func TestPlatform(t *testing.T) {
	t.Parallel()
	hs := startTest(t, nil)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	account := func(name string) Account {
		t.Helper()
		a, err := hs.Register(t.Context(), name, "correct horse "+name)
		must(err)
		return a
	}
	alice, bob := account("alice"), account("bob")

	var room struct {
		RoomID string `json:"room_id"`
	}
	const draft, call3401 = "m.rtc.member", "org.matrix.msc3401.call.member"
	must(call(t, hs, alice, "POST", "/_matrix/client/v3/createRoom", object{
		"preset": "public_chat",
		"power_level_content_override": object{
			"events": object{draft: 0, call3401: 0},
		},
	}, &room))
	roomPath := "/_matrix/client/v3/rooms/" + url.PathEscape(room.RoomID)
	must(call(t, hs, bob, "POST", "/_matrix/client/v3/join/"+url.PathEscape(room.RoomID), object{}, nil))

	// A member at power level 0 states its membership, in both dialects and
	// with the key that begins with an underscore; nothing else.
	keys := map[string]string{
		draft:    bob.UserID + "_" + bob.DeviceID,
		call3401: "_" + bob.UserID + "_" + bob.DeviceID + "_m.call",
	}
	for kind, key := range map[string]string{draft: "_" + keys[draft], call3401: keys[call3401]} {
		path := roomPath + "/state/" + kind + "/" + url.PathEscape(key)
		must(call(t, hs, bob, "PUT", path, object{"device_id": bob.DeviceID}, nil))
		var content object
		must(call(t, hs, alice, "GET", path, nil, &content))
		if content["device_id"] != bob.DeviceID {
			t.Errorf("%s: stored %v", kind, content)
		}
	}
	var refused *MatrixError
	if err := call(t, hs, bob, "PUT", roomPath+"/state/org.example/x", object{}, nil); !errors.As(err, &refused) || refused.Code != "M_FORBIDDEN" {
		t.Errorf("any other state: %v, want M_FORBIDDEN", err)
	}
	// A key that begins with a user id belongs to that user.
	if err := call(t, hs, bob, "PUT", roomPath+"/state/"+draft+"/"+url.PathEscape(alice.UserID), object{}, nil); !errors.As(err, &refused) || refused.Code != "M_FORBIDDEN" {
		t.Errorf("another user's key: %v, want M_FORBIDDEN", err)
	}
	checkOpenID(t, hs, bob)
	checkToDevice(t, hs, alice, bob)
	checkNoDelay(t, hs, bob, roomPath+"/state/"+call3401+"/"+url.PathEscape(keys[call3401]))
}

// checkOpenID: a token is made for a user and validated over plain HTTP.
func checkOpenID(t *testing.T, hs *Homeserver, a Account) {
	t.Helper()
	var token struct {
		AccessToken string `json:"access_token"`
		ServerName  string `json:"matrix_server_name"`
	}
	err := call(t, hs, a, "POST", "/_matrix/client/v3/user/"+url.PathEscape(a.UserID)+"/openid/request_token", object{}, &token)
	if err != nil {
		t.Fatal(err)
	}
	if token.ServerName != hs.ServerName() {
		t.Errorf("the OpenID token is of %q", token.ServerName)
	}
	var info struct {
		Sub string `json:"sub"`
	}
	const userinfo = "/_matrix/federation/v1/openid/userinfo?access_token="
	if err := call(t, hs, Account{}, "GET", userinfo+url.QueryEscape(token.AccessToken), nil, &info); err != nil {
		t.Fatal(err)
	}
	if info.Sub != a.UserID {
		t.Errorf("the OpenID token is for %q, want %q", info.Sub, a.UserID)
	}
	var refused *MatrixError
	if err := call(t, hs, Account{}, "GET", userinfo+"nonsense", nil, nil); !errors.As(err, &refused) || refused.Status != 401 {
		t.Errorf("a made-up OpenID token: %v, want HTTP 401", err)
	}
}

// checkToDevice: a message to one device arrives with a sync that was waiting.
func checkToDevice(t *testing.T, hs *Homeserver, from, to Account) {
	t.Helper()
	var sync struct {
		Next     string `json:"next_batch"`
		ToDevice struct {
			Events []struct {
				Type, Sender string
			}
		} `json:"to_device"`
	}
	if err := call(t, hs, to, "GET", "/_matrix/client/v3/sync?timeout=0", nil, &sync); err != nil {
		t.Fatal(err)
	}
	body := object{"messages": object{to.UserID: object{to.DeviceID: object{"hello": true}}}}
	if err := call(t, hs, from, "PUT", "/_matrix/client/v3/sendToDevice/org.example.hello/1", body, nil); err != nil {
		t.Fatal(err)
	}
	limit := time.Now().Add(20 * time.Second)
	for len(sync.ToDevice.Events) == 0 && time.Now().Before(limit) {
		path := fmt.Sprintf("/_matrix/client/v3/sync?timeout=5000&since=%s", url.QueryEscape(sync.Next))
		if err := call(t, hs, to, "GET", path, nil, &sync); err != nil {
			t.Fatal(err)
		}
	}
	if len(sync.ToDevice.Events) != 1 || sync.ToDevice.Events[0].Sender != from.UserID {
		t.Errorf("to-device messages received: %+v", sync.ToDevice.Events)
	}
}

// checkNoDelay: Dendrite ignores the delay of a delayed event and sends it at
// once; whoever arms a leave must look for a delay_id in the answer. When this
// fails, Dendrite has learned it.
func checkNoDelay(t *testing.T, hs *Homeserver, a Account, path string) {
	t.Helper()
	var answer struct {
		EventID string `json:"event_id"`
		DelayID string `json:"delay_id"`
	}
	if err := call(t, hs, a, "PUT", path+"?org.matrix.msc4140.delay=60000", object{}, &answer); err != nil {
		t.Fatal(err)
	}
	if answer.EventID == "" || answer.DelayID != "" {
		t.Errorf("a delayed event was answered by %+v", answer)
	}
}
