// Package auth is the MatrixRTC authorization service: it turns a proof of who a
// Matrix user is into a token for one LiveKit room (MSC4195). The proof is an
// OpenID token of the user's homeserver (/sfu/get, /get_token), or that homeserver
// itself, which passes the request on (its client-server and federation endpoints,
// MSC4512). It takes delayed leaves over from clients, and has users removed from
// the SFU who are not in the Matrix room any more.
//
// It is not a server: Service is an http.Handler, the listener, TLS and the
// end of the process belong to the caller. It knows no SFU: it makes rooms
// through the interface Rooms, signs tokens with the SFU's key, and is told who
// comes and goes (SFUEvent, or the SFU's webhook). What must not be forgotten is
// in stores that the caller gives (package jobs); what becomes of a delayed leave
// is said by package leave.
//
// A Service may be used from any number of goroutines. It starts goroutines of its
// own in New; Close ends them.
package auth
