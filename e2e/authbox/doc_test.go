// Package authbox tests the authorization service as a black box: the binary,
// started with environment variables alone, and what it says over HTTP. Nothing
// of server/... is imported here, so that the suite also fits other services:
//
//	AUTHBOX_COMMAND=/path/to/lk-jwt-service go test ./e2e/authbox
//
// starts that command instead of ours, with the same variables. Where
// lk-jwt-service is known to answer otherwise, known_test.go says what it does
// and why we do not; docs/auth-differences.md is that list as a page. A run against
// another service fails for differences that are not in the list, and prints the
// others.
//
// Around the service stand a homeserver in this process (fake_test.go), which does
// as it is told, and real ones, which are held to the same conformance rows
// (conformance_test.go); an SFU in this process, and a real LiveKit with real
// participants, each of them a process; a real Redis. Every test starts what it
// needs and nothing else, and the tests run in parallel.
package authbox
