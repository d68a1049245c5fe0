// Package livekit connects to LiveKit SFUs: it is the media.Connector of
// transports of the type "livekit".
//
// The way in is that of MSC4195 as deployed: an OpenID token of the homeserver
// goes to the authorization service that the transport names, which answers
// with the address of an SFU and a token for it. Everything else is between us
// and the SFU, through LiveKit's Go SDK, of which nothing appears in the
// exported API.
//
// # Which LiveKit
//
// One peer connection carries both directions. Media then starts to flow about
// 100 ms earlier than over two, because the SFU's own offer is not waited for:
// 79 ms after the join began instead of 174 (first audio packet over loopback,
// medians of 20 joins each, two busy cores). It needs LiveKit 1.9.2 or later (October 2025; the mode is in 1.9.1, without
// the mapping of media sections to tracks). An older SFU answers the join with
// 404, which shows as ErrNoRoom. Media over ICE/TCP is not possible: the SDK
// has no way to ask for it.
//
// # Who is who
//
// A participant of the SFU is matched against every identity that each member
// of the session may have there (Membership.Identities). One that matches
// nobody and publishes nothing is not shown at all: clients listen in under
// names that no membership states (docs/protocol.md R-ID-2). If it publishes it
// is shown as a stranger. When it turns out later whose it is, a second
// PeerJoined says so, and Track.Peer changes with it; PeerLeft still comes
// once. Messages of somebody who is not shown yet are kept for a while.
// Participants that are ourselves, on another connection, are never shown.
//
// # Interruptions
//
// Short ones the SDK bridges by itself. If it does not succeed within four
// seconds, or the SFU says good-bye, the connection begins at the
// authorization service again: an SFU that was restarted has forgotten its
// rooms, and only that service makes them. Publications go on by themselves,
// and the others, who have lost the same SFU, have ten seconds to come back
// before they count as gone. The connection gives up only on answers that no
// repetition will change.
// Reliable messages sent into an interruption may be lost all the same.
//
// # Concurrency
//
// All exported methods may be called from any goroutine. One goroutine per
// Conn owns its state; callbacks of the SDK only wake it, and it then reads the
// SDK's state back, so that what the SDK reports out of order cannot come out
// of order here. Data messages are handed over one by one: while nobody reads
// Events, they wait at the SFU.
//
// The first packets of a track may be missing: the SFU may send them before it
// has said what they are, and the WebRTC stack then loses up to ten. A
// media.Reader asks for a new key frame where that matters. A participant that
// publishes nothing is announced by LiveKit up to three seconds late.
//
// Close returns when all goroutines of this package have ended. The SDK closes
// its sockets in a goroutine of its own a moment later, and there is no way to
// wait for that. The SDK has one logger per process, which New sets, once, to
// drop everything; what concerns one connection goes to Options.Logger.
package livekit
