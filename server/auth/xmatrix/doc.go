// Package xmatrix signs and checks requests between homeservers (server-server
// API, "Request Authentication"): the Authorization header of scheme X-Matrix,
// and the documents in which homeservers publish their keys. It does no I/O and
// reads no clock.
package xmatrix
