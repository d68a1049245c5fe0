// Package rtctest helps to test programs that use matrixrtc, and this project
// itself: one helper that waits for real parts (Eventually), what they say
// meanwhile (Log), comparison of received media with what was published (Loop),
// and suites that every implementation of an interface must pass (Connector).
//
// It also has a homeserver and SFUs in memory, which pass the same suites, for
// tests in which time is simulated. It links no real SFU or homeserver: whoever
// calls a suite brings them.
//
// Its functions are called from the goroutine of the test, as t.Fatal demands.
package rtctest
