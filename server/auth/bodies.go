package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
	"github.com/matrixrtc-go/matrixrtc/internal/canonical"
	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
)

// request is what the endpoints that take OpenID tokens ask for.
type request struct {
	room, slot string
	openid     authapi.OpenIDToken
	delay      authapi.Delay
	claimed    string // user id, "" if the endpoint has none
	// identity is the name of the user's participant on the SFU.
	identity func(user string) string
}

// sfuGetFields and getTokenFields are authapi's bodies, with the OpenID token read in
// the same go.
type sfuGetFields struct {
	Room     string               `json:"room"`
	OpenID   *authapi.OpenIDToken `json:"openid_token"`
	DeviceID string               `json:"device_id"`
	authapi.Delay
}

type getTokenFields struct {
	RoomID string               `json:"room_id"`
	SlotID string               `json:"slot_id"`
	OpenID *authapi.OpenIDToken `json:"openid_token"`
	Member authapi.Member       `json:"member"`
	authapi.Delay
}

func readSFUGet(body []byte, lenient bool) (*request, *failure) {
	var in sfuGetFields
	if err := decode(body, &in, lenient); err != nil {
		return nil, notJSON(err)
	}
	if in.Room == "" {
		return nil, missing("room")
	}
	if in.OpenID != nil && likePort(in.OpenID.MatrixServerName, in.DeviceID) {
		return nil, badJSON("device_id begins like a port: the participant would have the name of another server's user")
	}
	if fail := tooLong(in.Room, in.DeviceID); fail != nil {
		return nil, fail
	}
	req := &request{
		room: in.Room, slot: string(matrixrtc.RoomCall), delay: in.Delay,
		identity: func(user string) string { return user + ":" + in.DeviceID },
	}
	return req, req.readShared(in.OpenID)
}

// maxID is how long an identifier may be, in bytes: four times what Matrix allows for
// rooms and users, and more than an SFU takes for a participant.
const maxID = 1024

// tooLong fails if one of some identifiers is, which tokens and stores would keep.
func tooLong(ids ...string) *failure {
	for _, id := range ids {
		if len(id) > maxID {
			return badJSON("an identifier is too long")
		}
	}
	return nil
}

// likePort says whether a device id after a user id can be read as the port of the
// user's server: @ann:one.example and "8448:D" are together what
// @ann:one.example:8448 and "D" are (docs/protocol.md R-AUTH-9).
func likePort(server, device string) bool {
	name, err := parseServerName(server)
	port, _, ok := strings.Cut(device, ":")
	return err == nil && name.port == "" && ok && validPort(port)
}

func readGetToken(body []byte, lenient bool) (*request, *failure) {
	var in getTokenFields
	if err := decode(body, &in, lenient); err != nil {
		return nil, notJSON(err)
	}
	for _, f := range []struct{ name, value string }{
		{"room_id", in.RoomID},
		{"slot_id", in.SlotID},
		{"member.id", in.Member.ID},
		{"member.claimed_user_id", in.Member.ClaimedUserID},
		{"member.claimed_device_id", in.Member.ClaimedDeviceID},
	} {
		if f.value == "" {
			return nil, missing(f.name)
		}
	}
	if fail := tooLong(in.RoomID, in.SlotID, in.Member.ID, in.Member.ClaimedDeviceID); fail != nil {
		return nil, fail
	}
	req := &request{
		room: in.RoomID, slot: in.SlotID, delay: in.Delay, claimed: in.Member.ClaimedUserID,
		identity: func(user string) string {
			return canonical.Hash(user, in.Member.ClaimedDeviceID, in.Member.ID)
		},
	}
	return req, req.readShared(in.OpenID)
}

func readDelegate(body []byte, lenient bool) (*request, *failure) {
	req, fail := readGetToken(body, lenient)
	if fail == nil && req.delay.ID == "" {
		fail = badJSON("delay_id and delay_timeout are missing")
	}
	return req, fail
}

// readShared checks what all of them have.
func (q *request) readShared(token *authapi.OpenIDToken) *failure {
	if token == nil {
		return missing("openid_token")
	}
	q.openid = *token
	switch {
	case q.openid.AccessToken == "":
		return missing("openid_token.access_token")
	case q.openid.MatrixServerName == "":
		return missing("openid_token.matrix_server_name")
	case (q.delay.ID == "") != (q.delay.Timeout == 0):
		return badJSON("delay_id and delay_timeout are given together or not at all")
	case q.delay.Timeout < 0:
		return badJSON("delay_timeout is negative")
	case q.delay.Timeout > int64(leave.MaxDelay/time.Millisecond):
		return badJSON("delay_timeout is longer than a year")
	}
	return nil
}

// errUTF8: JSON is UTF-8. Whoever reads it otherwise reads another room.
var errUTF8 = &bodyError{"not UTF-8"}

// decode reads exactly one JSON value. Unless it is lenient it refuses keys that
// the type does not have.
func decode(data []byte, into any, lenient bool) error {
	if !utf8.Valid(data) {
		return errUTF8
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if !lenient {
		d.DisallowUnknownFields()
	}
	if err := d.Decode(into); err != nil {
		return wrongBody(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return &bodyError{"something follows the JSON value"}
	}
	return nil
}

// bodyError says in plain words what is wrong with a body, for who sent it. It holds
// nothing of the body but the name of a field.
type bodyError struct{ what string }

func (e *bodyError) Error() string { return e.what }

// wrongBody is a bodyError for an error of encoding/json.
func wrongBody(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		kind, _, _ := strings.Cut(wrong.Value, " ") // the number follows, whatever its length
		if wrong.Field == "" {
			return &bodyError{"a JSON object is wanted, not " + kind}
		}
		return &bodyError{fmt.Sprintf("%s is of the wrong kind, or out of range: %s", wrong.Field, kind)}
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return &bodyError{"unknown field " + shorten(name)}
	}
	if errors.Is(err, io.EOF) {
		return &bodyError{"it is empty"}
	}
	return &bodyError{shorten(strings.TrimPrefix(err.Error(), "json: "))}
}
