package authapi

import (
	"encoding/json"
	"slices"
)

// Paths of the API that homeservers answer (MSC4195), and those that they ask of
// an application service.
const (
	// PathWebhook is where a LiveKit server reports who comes and goes.
	PathWebhook = "/sfu_webhook"
	// PathPing is where a homeserver asks an application service whether it is
	// there.
	PathPing = "/_matrix/app/v1/ping"
	// PathTransactions is where a homeserver sends an application service events;
	// a transaction id follows.
	PathTransactions = "/_matrix/app/v1/transactions/"

	clientStable       = "/_matrix/client/v1"
	clientUnstable     = "/_matrix/client/unstable/io.element.msc4195"
	federationStable   = "/_matrix/federation/v1"
	federationUnstable = "/_matrix/federation/unstable/io.element.msc4195"
	getToken           = "/rtc/livekit/get_token"
	delegate           = "/rtc/livekit/delegate_delayed_leave"
)

// The endpoints of homeservers have two paths each, the stable one first.
func ClientGetTokenPaths() []string {
	return []string{clientStable + getToken, clientUnstable + getToken}
}

// ClientDelegatePaths are those that take a delayed leave over.
func ClientDelegatePaths() []string {
	return []string{clientStable + delegate, clientUnstable + delegate}
}

// FederationGetTokenPaths are those between homeservers.
func FederationGetTokenPaths() []string {
	return []string{federationStable + getToken, federationUnstable + getToken}
}

// HomePaths are all that are a homeserver's, or are for one; PathTransactions
// stands for what is below it.
func HomePaths() []string {
	return slices.Concat(ClientGetTokenPaths(), ClientDelegatePaths(), FederationGetTokenPaths(), []string{PathPing, PathTransactions})
}

// Headers with which a homeserver says for whom it passes a request on (MSC4512).
const (
	HeaderUser   = "X-Matrix-User-Identifier"
	HeaderOrigin = "X-Matrix-Origin"
)

// HomeRequest is the body of the endpoints of homeservers. Which fields are needed
// is told by the endpoint; others than these are let through.
type HomeRequest struct {
	// ServerName is whose SFU it is about, for clients; "" is one's own.
	ServerName string `json:"server_name,omitempty"`
	// UserID is whom a homeserver asks for.
	UserID string `json:"user_id,omitempty"`
	// URL is the websocket URL of the SFU; it may be missing, as in earlier texts.
	URL    string `json:"url,omitempty"`
	RoomID string `json:"room_id"`
	SlotID string `json:"slot_id"`
	// MemberID is the newest way to name a member, HomeMember the one before.
	MemberID string      `json:"member_id,omitempty"`
	Member   *HomeMember `json:"member,omitempty"`
	// DelayID names the delayed event to take over.
	DelayID string `json:"delay_id,omitempty"`
}

// HomeMember is the member object of a membership event, of which these are read.
type HomeMember struct {
	ID              string `json:"id"`
	ClaimedDeviceID string `json:"claimed_device_id,omitempty"`
	DeviceID        string `json:"device_id,omitempty"`
}

// FedProxyRequest asks a homeserver to ask another one, in its own name (MSC4512).
type FedProxyRequest struct {
	Destination string          `json:"destination"`
	Method      string          `json:"method"`
	Path        string          `json:"path"`
	Body        json.RawMessage `json:"body,omitempty"`
}

// FedProxyResponse is what the other homeserver has answered.
type FedProxyResponse struct {
	Status  int             `json:"status"`
	Content json.RawMessage `json:"content"`
}
