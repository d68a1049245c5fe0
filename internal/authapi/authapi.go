// Package authapi holds the paths and JSON bodies of the MatrixRTC authorization
// API: what a client or a homeserver sends, and what it gets back. The client side
// (package livekit) and the server side (package server/auth) share it. It holds
// data only: it sends, checks and decides nothing.
package authapi

import "encoding/json"

// Paths of the API, below the livekit_service_url of a transport.
const (
	// PathSFUGet is the older endpoint: identity "@user:server:DEVICE", always
	// the room call.
	PathSFUGet = "/sfu/get"
	// PathGetToken is the newer endpoint: hashed identity, any slot (MSC4195).
	PathGetToken = "/get_token"
	// PathDelegateDelayedLeave is where a client hands its delayed leave over.
	// A service without that capability answers 404 there.
	PathDelegateDelayedLeave = "/delegate_delayed_leave"
	// PathHealth answers 200 while the service runs.
	PathHealth = "/healthz"
)

// Delay asks the service to look after a delayed leave event (MSC4140). ID and
// Timeout are given together or not at all.
type Delay struct {
	ID string `json:"delay_id,omitempty"`
	// Timeout is the delay of the event in milliseconds, a JSON number.
	Timeout int64 `json:"delay_timeout,omitempty"`
	// ClientServerURL is the client-server API of the user's homeserver.
	// Services are free to ignore it.
	ClientServerURL string `json:"delay_cs_api_url,omitempty"`
}

// SFUGetRequest is the body of POST /sfu/get. Services refuse any other key.
type SFUGetRequest struct {
	// Room is the Matrix room id.
	Room string `json:"room"`
	// OpenIDToken is the homeserver's answer to openid/request_token, passed on
	// byte for byte.
	OpenIDToken json.RawMessage `json:"openid_token"`
	DeviceID    string          `json:"device_id"`
	Delay
}

// GetTokenRequest is the body of POST /get_token. Services refuse any other
// key.
type GetTokenRequest struct {
	RoomID string `json:"room_id"`
	// SlotID is the literal slot_id of the membership event.
	SlotID string `json:"slot_id"`
	// OpenIDToken is the homeserver's answer to openid/request_token, passed on
	// byte for byte.
	OpenIDToken json.RawMessage `json:"openid_token"`
	Member      Member          `json:"member"`
	Delay
}

// Member says whose token is wanted. The user is checked against the OpenID
// token, the device is not.
type Member struct {
	ID              string `json:"id"`
	ClaimedUserID   string `json:"claimed_user_id"`
	ClaimedDeviceID string `json:"claimed_device_id"`
}

// OpenIDToken is what a homeserver answers to openid/request_token.
type OpenIDToken struct {
	AccessToken      string `json:"access_token"`
	ExpiresIn        int64  `json:"expires_in"` // seconds
	MatrixServerName string `json:"matrix_server_name"`
	TokenType        string `json:"token_type"`
}

// TokenResponse is the answer of both endpoints. The identity and the name of
// the LiveKit room are read from the JWT, never computed by the client.
type TokenResponse struct {
	// URL is the websocket URL of the SFU.
	URL string `json:"url"`
	JWT string `json:"jwt"`
}

// Error codes that the API answers with.
const (
	CodeNotJSON       = "M_NOT_JSON"
	CodeBadJSON       = "M_BAD_JSON"
	CodeUnauthorized  = "M_UNAUTHORIZED"
	CodeForbidden     = "M_FORBIDDEN"
	CodeUnknown       = "M_UNKNOWN"
	CodeUnrecognized  = "M_UNRECOGNIZED"
	CodeLimitExceeded = "M_LIMIT_EXCEEDED"
	CodeInvalidParam  = "M_INVALID_PARAM"
	CodeMissingToken  = "M_MISSING_TOKEN"
	CodeUnknownToken  = "M_UNKNOWN_TOKEN"
	CodeTooLarge      = "M_TOO_LARGE"
)

// Error is a Matrix error body.
type Error struct {
	Code    string `json:"errcode"`
	Message string `json:"error"`
	// RetryAfter is set with M_LIMIT_EXCEEDED, in milliseconds.
	RetryAfter int64 `json:"retry_after_ms,omitempty"`
}

// Error is the code and the message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }
