// Package auth is the MatrixRTC authorization service: it turns a proof of
// who a Matrix user is (an OpenID token of the user's homeserver) into a token
// for one LiveKit room (MSC4195, the endpoints /sfu/get and /get_token).
//
// It is not a server: Service is an http.Handler, the listener, TLS and the
// end of the process belong to the caller. It knows no SFU: it makes rooms
// through the interface Rooms and signs tokens with the SFU's key.
//
// A Service may be used from any number of goroutines. It starts none of its
// own except the idle connections of its http.Transport, which Close ends.
package auth
